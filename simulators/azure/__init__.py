"""Azure Database for PostgreSQL and MySQL, flexible server, at the wire of Azure Resource Manager."""
