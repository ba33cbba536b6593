{{- define "pollinator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pollinator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "pollinator.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "pollinator.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pollinator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pollinator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pollinator.labels" -}}
{{ include "pollinator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: pollinator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pollinator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pollinator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "pollinator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* The namespaces that are watched, separated by commas; empty: all. */}}
{{- define "pollinator.watched" -}}
{{- $names := .Values.watchNamespaces }}
{{- with .Values.watchNamespace }}{{ $names = append $names . }}{{ end }}
{{- $names | uniq | sortAlpha | join "," }}
{{- end }}

{{- /* Arguments and environment for both `operator` and its check. */}}
{{- define "pollinator.arguments" -}}
- operator
- --listen=0.0.0.0:{{ .Values.operator.port }}
- --grace={{ .Values.operator.graceSeconds }}s
- --lease-duration={{ .Values.operator.leaseDurationSeconds }}s
- --shards={{ .Values.operator.shards }}
- --lease-group={{ include "pollinator.fullname" . }}
- --relist-interval={{ .Values.operator.relistIntervalSeconds }}s
{{- with .Values.operator.clusterName }}
- --cluster-name={{ . }}
{{- end }}
{{- range .Values.operator.allowEgress }}
- --allow-egress={{ . }}
{{- end }}
{{- with .Values.operator.allowPorts }}
- --allow-ports={{ join "," . }}
{{- end }}
{{- with .Values.operator.secretLabel }}
- --secret-label={{ . }}
{{- end }}
{{- with .Values.state.store }}
- --state-store={{ . }}
{{- end }}
{{- if .Values.catalog }}
- --catalog=/etc/pollinator/catalog
{{- end }}
{{- if .Values.connect.enabled }}
- --connect-url={{ .Values.connect.url }}
- --connect-listen=0.0.0.0:{{ .Values.connect.port }}
{{- end }}
{{- if .Values.api.enabled }}
- --api-listen=0.0.0.0:{{ .Values.api.port }}
{{- end }}
{{- with .Values.console }}
{{- if .enabled }}
- --console-listen=0.0.0.0:{{ .port }}
- --console-url={{ if .host }}https://{{ .host }}{{ else }}http://127.0.0.1:{{ .port }}{{ end }}
{{- if .keySecret }}
- --console-key-file=/etc/pollinator/console/key
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.operator.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A quarter of the memory limit, at least 64 MiB. Nothing without a limit that is a whole number: then the program's default applies. */}}
{{- define "pollinator.bufferedBytes" -}}
{{- $limit := dig "limits" "memory" "" (default dict .Values.resources) }}
{{- if kindIs "float64" $limit }}{{ $limit = int64 $limit }}{{ end }}
{{- $limit = toString $limit }}
{{- if regexMatch "^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$" $limit }}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 }}
{{- $unit := int64 (get $units (regexFind "[A-Za-z]+$" $limit) | default 1) }}
{{- max 67108864 (div (mul (int64 (regexFind "^[0-9]+" $limit)) $unit) 4) }}
{{- end }}
{{- end }}

{{- define "pollinator.environment" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- if include "pollinator.caBundle" . }}
# The variables replace the default, so the bundle of the image is named, too.
- name: SSL_CERT_FILE
  value: /etc/ssl/certs/ca-certificates.crt
- name: SSL_CERT_DIR
  value: /etc/pollinator/ca
{{- end }}
- name: POLLINATOR_LOG
  value: {{ .Values.operator.log.level | quote }}
- name: POLLINATOR_LOG_FORMAT
  value: {{ .Values.operator.log.format | quote }}
{{- with include "pollinator.bufferedBytes" . }}
- name: POLLINATOR_MAX_BUFFERED_BYTES
  value: {{ . | quote }}
{{- end }}
{{- $watched := include "pollinator.watched" . }}
{{- if eq $watched .Release.Namespace }}
- name: POLLINATOR_WATCH_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- else if $watched }}
- name: POLLINATOR_WATCH_NAMESPACE
  value: {{ $watched | quote }}
{{- end }}
{{- with .Values.operator.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pollinator.caBundle" -}}
{{- or .Values.caBundle.configMap .Values.caBundle.secret }}
{{- end }}

{{- /* Volumes and their mounts for both `operator` and its check; empty without any. */}}
{{- define "pollinator.volumes" -}}
{{- if .Values.catalog }}
- name: catalog
  configMap:
    name: {{ include "pollinator.fullname" . }}-catalog
{{- end }}
{{- with .Values.caBundle }}
{{- if .configMap }}
- name: ca-bundle
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- else if .secret }}
- name: ca-bundle
  secret:
    secretName: {{ .secret }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- with .Values.console }}
{{- if and .enabled .keySecret }}
- name: console-key
  secret:
    secretName: {{ .keySecret }}
    items: [{key: key, path: key}]
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pollinator.volumeMounts" -}}
{{- if .Values.catalog }}
- name: catalog
  mountPath: /etc/pollinator/catalog
  readOnly: true
{{- end }}
{{- if include "pollinator.caBundle" . }}
- name: ca-bundle
  mountPath: /etc/pollinator/ca
  readOnly: true
{{- end }}
{{- if and .Values.console.enabled .Values.console.keySecret }}
- name: console-key
  mountPath: /etc/pollinator/console
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Values that contradict each other are refused by name; types and unknown keys by the schema. */}}
{{- define "pollinator.check" -}}
{{- if and .Values.image.tag .Values.image.digest }}
{{- fail "image.tag and image.digest are both set: set one of them" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the account that is there" }}
{{- end }}
{{- if and .Values.caBundle.configMap .Values.caBundle.secret }}
{{- fail "caBundle.configMap and caBundle.secret are both set: set one of them" }}
{{- end }}
{{- if and .Values.connect.enabled (not .Values.connect.url) }}
{{- fail "connect.enabled needs connect.url: the origin under which people reach the page, such as https://pollinator.example.com" }}
{{- end }}
{{- if and .Values.connect.enabled (eq (int .Values.connect.port) (int .Values.operator.port)) }}
{{- fail "connect.port is operator.port: the page needs a port of its own, since metrics must not be public" }}
{{- end }}
{{- if and (or .Values.connect.ingress.enabled .Values.connect.httpRoute.enabled) (not .Values.connect.enabled) }}
{{- fail "connect.ingress and connect.httpRoute need connect.enabled: there is nothing to lead to" }}
{{- end }}
{{- if and .Values.connect.httpRoute.enabled (not .Values.connect.httpRoute.gateway) }}
{{- fail "connect.httpRoute.enabled needs connect.httpRoute.gateway: name the Gateway that the route belongs to" }}
{{- end }}
{{- if and .Values.api.enabled (eq (int .Values.api.port) (int .Values.operator.port)) }}
{{- fail "api.port is operator.port: the API needs a port of its own, since metrics must not be public" }}
{{- end }}
{{- if and .Values.api.enabled .Values.connect.enabled (eq (int .Values.api.port) (int .Values.connect.port)) }}
{{- fail "api.port is connect.port: the API and the connect page need a port each" }}
{{- end }}
{{- if or .Values.api.ingress.enabled .Values.api.httpRoute.enabled }}
{{- if not .Values.api.enabled }}
{{- fail "api.ingress and api.httpRoute need api.enabled: there is nothing to lead to" }}
{{- end }}
{{- if not .Values.api.host }}
{{- fail "api.ingress and api.httpRoute need api.host: the host name at which clients reach the API" }}
{{- end }}
{{- end }}
{{- if and .Values.api.httpRoute.enabled (not .Values.api.httpRoute.gateway) }}
{{- fail "api.httpRoute.enabled needs api.httpRoute.gateway: name the Gateway that the route belongs to" }}
{{- end }}
{{- with .Values.console }}
{{- if and .enabled (has (int .port) (list (int $.Values.operator.port) (int $.Values.connect.port) (int $.Values.api.port))) }}
{{- fail "console.port is operator.port, connect.port or api.port: the console needs a port of its own" }}
{{- end }}
{{- if or .ingress.enabled .httpRoute.enabled }}
{{- if not .enabled }}
{{- fail "console.ingress and console.httpRoute need console.enabled: there is nothing to lead to" }}
{{- end }}
{{- if not .host }}
{{- fail "console.ingress and console.httpRoute need console.host: the host name at which people reach the console" }}
{{- end }}
{{- end }}
{{- if and .httpRoute.enabled (not .httpRoute.gateway) }}
{{- fail "console.httpRoute.enabled needs console.httpRoute.gateway: name the Gateway that the route belongs to" }}
{{- end }}
{{- if and .enabled .host (not .keySecret) (gt (int $.Values.replicaCount) 1) }}
{{- fail "console.host needs console.keySecret while replicaCount is above 1: replicas share the key that encrypts sessions" }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) }}
{{- fail "serviceMonitor.enabled needs service.enabled: there is nothing to scrape" }}
{{- end }}
{{- $drained := .Values.podDisruptionBudget.maxUnavailable }}
{{- if kindIs "string" $drained }}
{{- /* As Kubernetes does, part of a pod is rounded up. */}}
{{- $drained = div (add (mul (trimSuffix "%" $drained | int) .Values.replicaCount) 99) 100 }}
{{- end }}
{{- if gt (int $drained) (sub (int .Values.replicaCount) 1 | max 1 | int) }}
{{- fail "podDisruptionBudget.maxUnavailable is not below replicaCount: all pods could be drained together" }}
{{- end }}
{{- if and (include "pollinator.watched" .) .Values.crds.enabled (not .Values.crds.keep) }}
{{- fail "crds.keep is false while watchNamespace is set or watchNamespaces has entries: an uninstall would delete the instances of all namespaces; set crds.keep, or crds.enabled to false" }}
{{- end }}
{{- end }}
