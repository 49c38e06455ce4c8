"""The AWS wire: protocol, signature, errors; one module a resource."""
