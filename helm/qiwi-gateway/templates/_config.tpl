{{/*
The gateway's configuration as TOML, from values.

A key has one home: what the chart must know itself (addresses, files of Secrets, state, drain) is a value of its own,
which the schema refuses under `config`; everything else is passed on from there.
*/}}

{{/* Where the files of Secrets are in the pod. One projected volume, so that a changed Secret arrives live. */}}
{{- define "qiwi-gateway.secrets" -}}
/run/secrets/qiwi-gateway
{{- end -}}

{{- define "qiwi-gateway.state" -}}
/var/lib/qiwi-gateway
{{- end -}}

{{/*
Every file of a Secret that is mounted, as JSON: a list of {secret, key, path}. Files are named after their use.
The gateway's configuration and the volume are both made of this list.
*/}}
{{- define "qiwi-gateway.files" -}}
{{- $files := list -}}
{{- $v := .Values -}}
{{- range $section := list "grpc" "notifications" "admin" -}}
  {{- $tls := (index $v $section).tls -}}
  {{- if and $tls.existingSecret (or (ne $section "notifications") $v.notifications.enabled) -}}
    {{- $files = append $files (dict "secret" $tls.existingSecret "key" $tls.certKey "path" (printf "%s/tls.crt" $section)) -}}
    {{- $files = append $files (dict "secret" $tls.existingSecret "key" $tls.keyKey "path" (printf "%s/tls.key" $section)) -}}
    {{- with $tls.clientCa.existingSecret -}}
      {{- $files = append $files (dict "secret" . "key" $tls.clientCa.key "path" (printf "%s/client-ca.crt" $section)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $single := list (list $v.state.key "state/key") (list $v.pageKey "pages/key") (list $v.fingerprintPepper "security/pepper") (list $v.upstreamCa "upstream/ca.crt") -}}
{{- if eq $v.state.engine "nats" -}}
  {{- $nats := $v.state.nats -}}
  {{- $single = concat $single (list (list $nats.credentials "nats/nats.creds") (list $nats.password "nats/password") (list $nats.ca "nats/ca.crt")) -}}
  {{- with $nats.clientCertificate.existingSecret -}}
    {{- $files = append $files (dict "secret" . "key" $nats.clientCertificate.certKey "path" "nats/tls.crt") -}}
    {{- $files = append $files (dict "secret" . "key" $nats.clientCertificate.keyKey "path" "nats/tls.key") -}}
  {{- end -}}
{{- end -}}
{{- range $name, $credential := $v.credentials -}}
  {{- range $use, $file := dict "token" "token" "secret" "secret" "webhookKey" "webhook-key" "webhookPathSecret" "webhook-path-secret" -}}
    {{- with index $credential $use -}}
      {{- $single = append $single (list . (printf "credentials/%s/%s" $name $file)) -}}
    {{- end -}}
  {{- end -}}
  {{- with $credential.clientCertificate -}}
    {{- $files = append $files (dict "secret" .existingSecret "key" (.certKey | default "tls.crt") "path" (printf "credentials/%s/tls.crt" $name)) -}}
    {{- $files = append $files (dict "secret" .existingSecret "key" (.keyKey | default "tls.key") "path" (printf "credentials/%s/tls.key" $name)) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $caller := $v.callers -}}
  {{- with $caller.key -}}
    {{- $single = append $single (list . (printf "callers/%s/key" $name)) -}}
  {{- end -}}
{{- end -}}
{{- range $single -}}
  {{- $of := index . 0 -}}
  {{- if $of.existingSecret -}}
    {{- $files = append $files (dict "secret" $of.existingSecret "key" $of.key "path" (index . 1)) -}}
  {{- end -}}
{{- end -}}
{{- toJson (dict "files" $files) -}}
{{- end -}}

{{/* The configuration as a dict, as JSON. */}}
{{- define "qiwi-gateway.settings" -}}
{{- $v := .Values -}}
{{- $at := include "qiwi-gateway.secrets" . -}}
{{- $mounted := dict -}}
{{- range (fromJson (include "qiwi-gateway.files" .)).files -}}
  {{- $_ := set $mounted .path (printf "%s/%s" $at .path) -}}
{{- end -}}
{{- $c := deepCopy $v.config -}}
{{- range $section := list "grpc" "notifications" "admin" "drain" "state" "pages" "security" "upstream" "limit" -}}
  {{- if not (hasKey $c $section) -}}{{- $_ := set $c $section dict -}}{{- end -}}
{{- end -}}
{{- range $section := list "grpc" "notifications" "admin" -}}
  {{- $own := index $v $section -}}
  {{- $of := index $c $section -}}
  {{- $_ := set $of "listen" (printf "0.0.0.0:%d" (int $own.port)) -}}
  {{- if hasKey $mounted (printf "%s/tls.crt" $section) -}}
    {{- $_ := set $of "tls_cert_file" (index $mounted (printf "%s/tls.crt" $section)) -}}
    {{- $_ := set $of "tls_key_file" (index $mounted (printf "%s/tls.key" $section)) -}}
    {{- if hasKey $mounted (printf "%s/client-ca.crt" $section) -}}
      {{- $_ := set $of "tls_client_ca_file" (index $mounted (printf "%s/client-ca.crt" $section)) -}}
      {{- $_ := set $of "tls_client_auth" $own.tls.clientAuth -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if $v.notifications.enabled -}}
  {{- with $v.notifications.publicUrl -}}{{- $_ := set $c.notifications "public_url" . -}}{{- end -}}
{{- else -}}
  {{- $_ := set $c "notifications" (dict "enabled" false) -}}
{{- end -}}
{{- $_ := set $c.drain "lame_duck" $v.drain.lameDuck -}}
{{- $_ := set $c.drain "grace" $v.drain.grace -}}
{{- $_ := set $c.drain "telemetry_flush" $v.drain.telemetryFlush -}}
{{- $_ := set $c.state "engine" $v.state.engine -}}
{{- range $path, $key := dict "state/key" "key_file" "nats/nats.creds" "nats_credentials_file" "nats/password" "nats_password_file" "nats/ca.crt" "nats_ca_file" "nats/tls.crt" "nats_cert_file" "nats/tls.key" "nats_key_file" -}}
  {{- if hasKey $mounted $path -}}{{- $_ := set $c.state $key (index $mounted $path) -}}{{- end -}}
{{- end -}}
{{- if eq $v.state.engine "nats" -}}
  {{- $nats := $v.state.nats -}}
  {{- $_ := set $c.state "nats_url" $nats.url -}}
  {{- $_ := set $c.state "nats_prefix" $nats.prefix -}}
  {{- $_ := set $c.state "nats_replicas" $nats.replicas -}}
  {{- with $nats.user -}}{{- $_ := set $c.state "nats_user" . -}}{{- end -}}
  {{- with $nats.monitorUrls -}}{{- $_ := set $c.state "nats_monitor_urls" (join "," .) -}}{{- end -}}
  {{- with $nats.placementTag -}}{{- $_ := set $c.state "nats_placement_tag" . -}}{{- end -}}
  {{- $_ := set $c.limit "replicas" (int (include "qiwi-gateway.podsMax" .)) -}}
{{- else -}}
  {{- $_ := set $c.state "path" (include "qiwi-gateway.state" .) -}}
{{- end -}}
{{- range $path, $key := dict "pages/key" (list "pages" "key_file") "security/pepper" (list "security" "fingerprint_pepper_file") "upstream/ca.crt" (list "upstream" "ca_file") -}}
  {{- if hasKey $mounted $path -}}{{- $_ := set (index $c (index $key 0)) (index $key 1) (index $mounted $path) -}}{{- end -}}
{{- end -}}
{{- $credentials := dict -}}
{{- range $name, $of := $v.credentials -}}
  {{- $own := dict "kind" $of.kind -}}
  {{- range $value, $key := dict "wallet" "wallet" "merchantSite" "merchant_site" "scopes" "scopes" "expires" "expires" "webhook" "webhook" "webhookReplace" "webhook_replace" "poll" "poll" -}}
    {{- if hasKey $of $value -}}{{- $_ := set $own $key (index $of $value) -}}{{- end -}}
  {{- end -}}
  {{- range $file, $key := dict "token" "token_file" "secret" "secret_file" "webhook-key" "webhook_key_file" "webhook-path-secret" "webhook_path_secret_file" "tls.crt" "client_cert_file" "tls.key" "client_key_file" -}}
    {{- $path := printf "credentials/%s/%s" $name $file -}}
    {{- if hasKey $mounted $path -}}{{- $_ := set $own $key (index $mounted $path) -}}{{- end -}}
  {{- end -}}
  {{- $_ := set $credentials $name $own -}}
{{- end -}}
{{- $callers := dict -}}
{{- range $name, $of := $v.callers -}}
  {{- $own := dict -}}
  {{- range $value, $key := dict "san" "san" "credentials" "credentials" "groups" "groups" "passThrough" "pass_through" "services" "services" "callsPerSecond" "calls_per_second" "callsBurst" "calls_burst" -}}
    {{- if hasKey $of $value -}}{{- $_ := set $own $key (index $of $value) -}}{{- end -}}
  {{- end -}}
  {{- $path := printf "callers/%s/key" $name -}}
  {{- if hasKey $mounted $path -}}{{- $_ := set $own "key_file" (index $mounted $path) -}}{{- end -}}
  {{- $_ := set $callers $name $own -}}
{{- end -}}
{{- toJson (dict "sections" $c "credentials" $credentials "callers" $callers) -}}
{{- end -}}

{{/* A value as TOML. Text is a TOML basic string when it is a JSON one; whole numbers come from YAML as floats. */}}
{{- define "qiwi-gateway.toml" -}}
{{- if kindIs "slice" . -}}
[{{- range $i, $of := . }}{{ if $i }}, {{ end }}{{ include "qiwi-gateway.toml" $of }}{{ end }}]
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- if eq (float64 .) (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{- define "qiwi-gateway.config" -}}
{{- $settings := fromJson (include "qiwi-gateway.settings" .) -}}
{{- range $section, $keys := $settings.sections }}
{{- if $keys }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "qiwi-gateway.toml" $value }}
{{- end }}
{{ end }}
{{- end }}
{{- range $kind := list "credentials" "callers" }}
{{- range $name, $keys := index $settings $kind }}
[{{ $kind }}.{{ $name }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "qiwi-gateway.toml" $value }}
{{- end }}
{{ end }}
{{- end }}
{{- end -}}
