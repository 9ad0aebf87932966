#!/bin/sh
# Registers the namespace TEMPORAL_NAMESPACE at TEMPORAL_ADDRESS, unless it is there: safe to run again.
set -eu
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
