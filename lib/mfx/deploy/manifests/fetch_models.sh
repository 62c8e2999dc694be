#!/bin/sh
# Brings the versions of a model from S3 ($SOURCE, s3://bucket/prefix/name) to a folder ($TARGET),
# and goes on doing so. TensorFlow Serving reads no S3 since 2.7, and loads whatever folder it sees:
# so a version appears whole, by one rename, and goes by one. $TARGET/.fetched is there once all
# versions are. POLL_SECONDS=0: once, not for ever.
set -eu
rest=${SOURCE#s3://}
bucket=${rest%%/*}
prefix=${rest#*/}/

# A version's saved_model.pb is pushed last: what has one is complete.
versions() {
  keys=$(aws s3api list-objects-v2 --bucket "$bucket" --prefix "$prefix" --output text \
    --query "Contents[?ends_with(Key, '/saved_model.pb')].Key") || return 1
  for key in $keys; do
    version=${key#"$prefix"}
    version=${version%/saved_model.pb}
    case $version in
      '' | *[!0-9]*) ;; # staged, or none of ours
      *) echo "$version" ;;
    esac
  done
}

fetch() {
  new=$TARGET/.fetching-$1
  rm -rf "$new"
  aws s3 cp --recursive --only-show-errors "s3://$bucket/$prefix$1" "$new" || return 1
  [ -e "$new/saved_model.pb" ] || return 1 # withdrawn meanwhile
  mv "$new" "$TARGET/$1"
  echo "fetched $SOURCE/$1"
}

# As S3 now has it; without any version there, the last ones stay.
follow() {
  found=$(versions) || return 1
  [ -n "$found" ] || { echo "no version at $SOURCE"; return 1; }
  complete=yes
  for version in $(printf '%s\n' "$found" | sort -rn); do
    [ -e "$TARGET/$version" ] || fetch "$version" || complete=
  done
  for folder in "$TARGET"/[0-9]*; do
    [ -d "$folder" ] || continue
    case "
$found
" in
      *"
${folder##*/}
"*) ;;
      *) mv "$folder" "$TARGET/.gone" && rm -rf "$TARGET/.gone" ;;
    esac
  done
  [ -n "$complete" ] && touch "$TARGET/.fetched"
}

trap 'exit 0' TERM INT
mkdir -p "$TARGET"
rm -rf "$TARGET"/.fetching-* "$TARGET/.gone"
while true; do
  follow || echo "will try again" >&2
  [ "${POLL_SECONDS:-10}" != 0 ] || { [ -e "$TARGET/.fetched" ]; exit; }
  sleep "${POLL_SECONDS:-10}" &
  wait $!
done
