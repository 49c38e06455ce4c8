"""`make demo` and `make up`: Airflow on this machine, a real data set, people who are simulated."""
