#!/bin/sh
# Brings Temporal's databases to the schema of this image's version. Safe to run again: it goes on from what is there.
# The connection comes from SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD and SQL_PLUGIN.
set -eu
for name in temporal visibility; do
  database=temporal
  [ "$name" = temporal ] || database="temporal_$name"
  temporal-sql-tool --db "$database" setup-schema --version 0.0
  temporal-sql-tool --db "$database" update-schema --schema-name "postgresql/v12/$name"
done
