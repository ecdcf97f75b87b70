{{- define "metricsapi.name" -}}
{{- required "fullnameOverride: a name is needed" .Values.fullnameOverride -}}
{{- end }}

{{- define "metricsapi.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{- define "metricsapi.labels" -}}
{{- toYaml (merge (dict) .Values.commonLabels .Values.selectorLabels) -}}
{{- end }}

{{- define "metricsapi.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "metricsapi.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.caSecret" -}}
{{- include "metricsapi.name" . }}-ca
{{- end }}

{{/* The Secret with the serving certificate, where the server does not make its own. */}}
{{- define "metricsapi.certificateSecret" -}}
{{- if eq .Values.tls.type "existingSecret" -}}
{{- required "tls.existingSecret.name: tls.type existingSecret needs the name of a Secret with tls.crt and tls.key" .Values.tls.existingSecret.name -}}
{{- else if eq .Values.tls.type "cert-manager" -}}
{{- include "metricsapi.name" . -}}
{{- else if eq .Values.tls.type "helm" -}}
{{- fail "tls.type helm: a certificate made by Helm is never renewed; use metrics-server, where the server keeps a CA and renews by itself" -}}
{{- end -}}
{{- end }}

{{/* "true" if the server keeps a CA and writes it into the APIServices. */}}
{{- define "metricsapi.managesCA" -}}
{{- if and (eq .Values.tls.type "metrics-server") .Values.apiService.create (not .Values.apiService.insecureSkipTLSVerify) (not .Values.apiService.caBundle) -}}
true
{{- end -}}
{{- end }}

{{- define "metricsapi.port" -}}
{{- if .Values.hostNetwork.enabled -}}
{{- .Values.hostNetwork.containerPort | int -}}
{{- else -}}
{{- .Values.containerPort | int -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.args" -}}
- --secure-port={{ include "metricsapi.port" . }}
{{- range .Values.defaultArgs }}
- {{ . | quote }}
{{- end }}
{{- if include "metricsapi.certificateSecret" . }}
- --tls-cert-file=/tls/tls.crt
- --tls-private-key-file=/tls/tls.key
{{- end }}
{{- if include "metricsapi.managesCA" . }}
- --manage-ca-bundle
{{- end }}
{{- if ne (include "metricsapi.name" .) "metrics-server" }}
- --service-name={{ include "metricsapi.name" . }}
- --ca-secret-name={{ include "metricsapi.caSecret" . }}
{{- end }}
{{- if ne .Values.kubelet.transport "direct" }}
- --kubelet-transport={{ .Values.kubelet.transport }}
{{- end }}
{{- if .Values.metrics.enabled }}
- --authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics
{{- end }}
{{- range .Values.args }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "metricsapi.strategy" -}}
{{- if .Values.updateStrategy -}}
{{- toYaml .Values.updateStrategy -}}
{{- else -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: {{ ternary 0 1 .Values.hostNetwork.enabled }}
  maxUnavailable: {{ ternary 1 0 .Values.hostNetwork.enabled }}
{{- end -}}
{{- end }}

{{/* Replicas of one revision apart from each other, unless told otherwise. */}}
{{- define "metricsapi.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else if and (gt (int .Values.replicas) 1) (not .Values.affinity) -}}
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: DoNotSchedule
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- toYaml .Values.selectorLabels | nindent 6 }}
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- toYaml .Values.selectorLabels | nindent 6 }}
{{- end -}}
{{- end }}

{{/* The caBundle of the chart, base64; empty where someone else writes it. */}}
{{- define "metricsapi.caBundle" -}}
{{- if .Values.apiService.caBundle -}}
{{- .Values.apiService.caBundle | b64enc -}}
{{- else if and (eq .Values.tls.type "existingSecret") .Values.tls.existingSecret.lookup -}}
{{- $found := lookup "v1" "Secret" (include "metricsapi.namespace" .) .Values.tls.existingSecret.name -}}
{{- if $found -}}{{- index $found.data "ca.crt" | default "" -}}{{- end -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.subjects" -}}
- kind: ServiceAccount
  name: {{ include "metricsapi.serviceAccount" . }}
  namespace: {{ include "metricsapi.namespace" . }}
{{- end }}
