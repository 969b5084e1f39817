{{- define "usage-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "usage-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "usage-exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "usage-exporter.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "usage-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- /* Minimal and unchangeable: a Deployment cannot change its selector. */ -}}
{{- define "usage-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "usage-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "usage-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "usage-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "usage-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "usage-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "usage-exporter.image" -}}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "usage-exporter.configMapName" -}}
{{- default (include "usage-exporter.fullname" .) .Values.existingConfigMap }}
{{- end }}

{{- define "usage-exporter.claimName" -}}
{{- default (include "usage-exporter.fullname" .) .Values.persistence.existingClaim }}
{{- end }}

{{- define "usage-exporter.strategy" -}}
{{- if .Values.strategy }}
{{- toYaml .Values.strategy }}
{{- else if .Values.persistence.enabled }}
{{- /* A new pod could not use the state file that the old one still holds. */ -}}
type: Recreate
{{- else }}
type: RollingUpdate
rollingUpdate:
  maxSurge: 1
  maxUnavailable: 0
{{- end }}
{{- end }}

{{- /* One state file serves one process: a second pod would be refused by its lock, and never start. */ -}}
{{- define "usage-exporter.validateState" -}}
{{- if .Values.persistence.enabled }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail (printf "replicaCount: %d pods cannot share the one state file of persistence.enabled; all but one would be refused by its lock. Set replicaCount: 1, or persistence.enabled: false (each pod then keeps its own state, and polls every vendor itself)." (int .Values.replicaCount)) }}
{{- end }}
{{- if and .Values.strategy (ne (default "RollingUpdate" .Values.strategy.type) "Recreate") }}
{{- fail "strategy: with persistence.enabled a new pod cannot start before the old one lets go of the state file. Set strategy: {type: Recreate}, or leave strategy empty." }}
{{- end }}
{{- end }}
{{- end }}
