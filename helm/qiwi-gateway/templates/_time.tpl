{{/* Durations and the pod's grace period. */}}

{{/* Milliseconds of a duration such as 250ms, 5s, 1m30s. */}}
{{- define "qiwi-gateway.ms" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
  {{- $number := regexFind "^[0-9]+" . -}}
  {{- $unit := trimPrefix $number . -}}
  {{- $sum = add $sum (mul (int64 $number) (index $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/*
Seconds a stop may take: connections are still taken, calls end, a payment that was being sent is waited for and written
down, telemetry leaves. Ten more are margin.
*/}}
{{- define "qiwi-gateway.stopSeconds" -}}
{{- $payment := dig "payments" "send_max" "20s" .Values.config -}}
{{- $ms := 10000 -}}
{{- range list .Values.drain.lameDuck .Values.drain.grace .Values.drain.telemetryFlush $payment -}}
  {{- $ms = add $ms (int64 (include "qiwi-gateway.ms" .)) -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end -}}

{{- define "qiwi-gateway.graceSeconds" -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- else -}}
{{- include "qiwi-gateway.stopSeconds" . -}}
{{- end -}}
{{- end -}}

{{/* The most pods there may be. */}}
{{- define "qiwi-gateway.replicasMax" -}}
{{- if ne .Values.state.engine "nats" -}}
1
{{- else if .Values.autoscaling.enabled -}}
{{- int .Values.autoscaling.maxReplicas -}}
{{- else -}}
{{- int .Values.replicaCount -}}
{{- end -}}
{{- end -}}

{{/* The most pods there may be while pods are replaced. */}}
{{- define "qiwi-gateway.podsMax" -}}
{{- $most := int (include "qiwi-gateway.replicasMax" .) -}}
{{- $surge := toString .Values.updateStrategy.maxSurge -}}
{{- if ne .Values.state.engine "nats" -}}
1
{{- else if hasSuffix "%" $surge -}}
{{- add $most (div (add (mul $most (int (trimSuffix "%" $surge))) 99) 100) -}}
{{- else -}}
{{- add $most (int $surge) -}}
{{- end -}}
{{- end -}}
