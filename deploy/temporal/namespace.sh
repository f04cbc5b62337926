#!/bin/sh
# Makes the namespace and its search attributes; a second run finds nothing to do.
# TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE come from the environment. The namespace is named
# on each line, because the CLI's commands for namespaces do not read it from there.
set -eu

# Closed checkouts stay visible to support for 30 days.
RETENTION=720h

until temporal operator cluster health >/dev/null 2>&1; do
    sleep 1
done

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
else
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
fi

# The namespace reaches all parts of the server within seconds of its creation.
until known=$(temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE" 2>/dev/null); do
    sleep 1
done
for attribute in MoneyState:Keyword AccessState:Keyword NeedsAttention:Bool ReferenceCode:Keyword; do
    name=${attribute%:*}
    if ! echo "$known" | grep -qw "$name"; then
        temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type "${attribute#*:}"
    fi
done
echo "namespace $TEMPORAL_NAMESPACE is ready"
