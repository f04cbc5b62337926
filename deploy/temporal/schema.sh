#!/bin/sh
# Brings Temporal's two schemas up to date; a second run finds nothing to do.
# SQL_PASSWORD comes from the environment.
set -eu

bring_up_to_date() {
    tool="temporal-sql-tool --plugin postgres12 --ep postgres -p 5432 -u temporal --db $1"
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

bring_up_to_date temporal temporal
bring_up_to_date temporal_visibility visibility
