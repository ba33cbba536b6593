{{- /*
A Service for one address of the pods, and what leads people to it: an Ingress, an HTTPRoute. Metrics have another Service, so that no
route leads to them. Takes root (the context of the chart), name (of the port, and the end of the names), host, path, and values (with
port, ingress and httpRoute).
*/}}
{{- define "pollinator.entrance" -}}
{{- $name := printf "%s-%s" (include "pollinator.fullname" .root) .name }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "pollinator.labels" .root | nindent 4 }}
spec:
  selector:
    {{- include "pollinator.selectorLabels" .root | nindent 4 }}
  ports:
    - name: {{ .name }}
      port: {{ .values.port }}
      targetPort: {{ .name }}
      protocol: TCP
{{- if .values.ingress.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "pollinator.labels" .root | nindent 4 }}
  {{- with .values.ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .values.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  rules:
    - host: {{ .host | quote }}
      http:
        paths:
          - path: {{ .path }}
            pathType: Prefix
            backend:
              service:
                name: {{ $name }}
                port:
                  name: {{ .name }}
  {{- if .values.ingress.tlsSecretName }}
  tls:
    - hosts: [{{ .host | quote }}]
      secretName: {{ .values.ingress.tlsSecretName }}
  {{- end }}
{{- end }}
{{- if .values.httpRoute.enabled }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "pollinator.labels" .root | nindent 4 }}
  {{- with .values.httpRoute.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  parentRefs:
    - name: {{ .values.httpRoute.gateway }}
      {{- with .values.httpRoute.gatewayNamespace }}
      namespace: {{ . }}
      {{- end }}
      {{- with .values.httpRoute.sectionName }}
      sectionName: {{ . }}
      {{- end }}
  hostnames: [{{ .host | quote }}]
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: {{ .path }}
      backendRefs:
        - name: {{ $name }}
          port: {{ .values.port }}
{{- end }}
{{- end }}
