// Custom resource definitions of others whose objects the chart renders. Nothing is built from these modules: their YAML files are read.
module pollinator.dev/control-plane/definitions

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
