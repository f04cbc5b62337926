#!/bin/sh
# Makes the roles and databases on the first start of an empty PostgreSQL. Passwords come
# from the environment and never stand on a command line, where every process sees them.
set -eu

for name in HOLDFAST_OWNER_PASSWORD HOLDFAST_APP_PASSWORD TEMPORAL_DB_PASSWORD; do
    eval "value=\${$name:-}"
    if [ -z "$value" ]; then
        echo "$name is not set: make one with  openssl rand -hex 24" >&2
        exit 1
    fi
done

psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv owner_password HOLDFAST_OWNER_PASSWORD
\getenv app_password HOLDFAST_APP_PASSWORD
\getenv temporal_password TEMPORAL_DB_PASSWORD

-- The owner migrates; the application gets what the migrations grant it, no more.
CREATE ROLE holdfast_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE holdfast_app LOGIN PASSWORD :'app_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';

CREATE DATABASE holdfast OWNER holdfast_owner;
REVOKE ALL ON DATABASE holdfast FROM PUBLIC;
GRANT CONNECT ON DATABASE holdfast TO holdfast_app;

-- Temporal's own store: neither side can look into the other's.
CREATE DATABASE temporal OWNER temporal;
REVOKE ALL ON DATABASE temporal FROM PUBLIC;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE ALL ON DATABASE temporal_visibility FROM PUBLIC;
SQL
