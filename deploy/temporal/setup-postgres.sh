#!/bin/sh
# Creates Temporal's two databases with their schema, or brings them up to date. Every step may be repeated.
set -eu

# The tool reads these by itself; as arguments they would be there for every process to see.
: "${SQL_PLUGIN:?}" "${SQL_HOST:?}" "${SQL_PORT:?}" "${SQL_USER:?}" "${SQL_PASSWORD:?}"
SCHEMA=${SCHEMA:-/etc/temporal/schema/postgresql/v12}

bring_up_to_date() {
  temporal-sql-tool --db "$1" create
  temporal-sql-tool --db "$1" setup-schema -v 0.0
  temporal-sql-tool --db "$1" update-schema -d "$SCHEMA/$2/versioned"
}

bring_up_to_date temporal temporal
bring_up_to_date temporal_visibility visibility
