#!/bin/sh
# Pins another version of Kubernetes, such as `update.sh v1.36.3`. Its staging modules are published under versions of their own;
# go.mod has to name each of them.
set -eu
version=$1
cd "$(dirname "$0")"
rm -f go.mod go.sum
go mod init pollinator.dev/control-plane/kubernetes
upstream=$(go list -m -f '{{.GoMod}}' "k8s.io/kubernetes@$version")
go mod edit -go="$(awk '$1 == "go" { print $2 }' "$upstream")" -require="k8s.io/kubernetes@$version"
sed -n 's#^[[:space:]]*\([^ ]*\) => ./staging/.*#\1#p' "$upstream" | while read -r path; do
  go mod edit -replace "$path=$path@v0.${version#v1.}"
done
for command in kube-apiserver kube-controller-manager kubectl; do
  go mod edit -tool "k8s.io/kubernetes/cmd/$command"
done
go mod tidy
