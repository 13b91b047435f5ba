#!/bin/sh
# A workload: it finds its credentials where CREDENTIALS_DIRECTORY says, and nowhere else.
set -eu
echo "report: running as uid $(id -u), credentials:"
ls "$CREDENTIALS_DIRECTORY"
