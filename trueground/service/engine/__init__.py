"""Life cycles of labeling jobs and tasks; who gets which task next. Knows neither HTTP nor AWS's wire."""
