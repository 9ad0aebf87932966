#!/bin/sh
# Registers the namespace TEMPORAL_NAMESPACE at TEMPORAL_ADDRESS, unless it is there: safe to run again. Ends when it can
# be used.
set -eu
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"

# The server looks for new namespaces every two seconds.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  temporal workflow count --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 && exit 0
  sleep 1
done
temporal workflow count --namespace "$TEMPORAL_NAMESPACE"
