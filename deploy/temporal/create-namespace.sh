#!/bin/sh
# Prepares Temporal at TEMPORAL_ADDRESS for sessions: the namespace of TEMPORAL_NAMESPACE, when it is not there yet, and
# the search attributes by which lists of sessions are filtered.
set -eu

: "${TEMPORAL_ADDRESS:?}" "${TEMPORAL_NAMESPACE:?}"

# The port opens a little before the server answers; a minute is long for that.
tries=60
until temporal operator cluster health; do
  tries=$((tries - 1))
  if [ "$tries" -le 0 ]; then
    echo "Temporal at $TEMPORAL_ADDRESS is not healthy" >&2
    exit 1
  fi
  sleep 1
done

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  echo "namespace $TEMPORAL_NAMESPACE is there"
else
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "${RETENTION:-30d}"
fi

# What is there already stays as it is. A namespace that is a moment old may not be known everywhere yet.
tries=30
until temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" \
  --name ClaudeStatus --type Keyword \
  --name ClaudeProject --type Keyword \
  --name ClaudeHost --type Keyword \
  --name ClaudeHandler --type Keyword \
  --name ClaudeTurns --type Int \
  --name ClaudeCostUsd --type Double; do
  tries=$((tries - 1))
  if [ "$tries" -le 0 ]; then
    echo "the search attributes of sessions could not be registered in namespace $TEMPORAL_NAMESPACE" >&2
    exit 1
  fi
  sleep 1
done
