{{- /* Where a network policy lets pods go: the CIDRs of `to`, each without the exceptions that it contains. Two CIDRs have no address in
common, or one contains the other: an exception that no CIDR contains needs no place, because nothing leads there. */}}
{{- define "pollinator.networks" -}}
{{- range $cidr := .to }}
{{- $network := include "pollinator.cidr" $cidr | fromJson }}
{{- $except := list }}
{{- range $exception := $.except }}
{{- $apart := include "pollinator.cidr" $exception | fromJson }}
{{- if include "pollinator.contains" (list $apart $network) }}
{{- fail (printf "networkPolicy.exceptCidrs: %s contains %s, to which networkPolicy lets pods go: remove one of the two" $exception $cidr) }}
{{- end }}
{{- if include "pollinator.contains" (list $network $apart) }}
{{- $except = append $except $exception }}
{{- end }}
{{- end }}
- ipBlock:
    cidr: {{ $cidr | quote }}
    {{- with $except }}
    except:
      {{- range . }}
      - {{ . | quote }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{- /* A CIDR as JSON: its groups of `width` bits as numbers, and the length of its prefix. */}}
{{- define "pollinator.cidr" -}}
{{- $refusal := printf "networkPolicy: %s is not a CIDR such as 10.0.0.0/8 or fd00::/8" . }}
{{- if or (contains ":::" .) (not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:]+)/[0-9]{1,3}$" .)) }}
{{- fail $refusal }}
{{- end }}
{{- $parts := splitList "/" . }}
{{- $groups := list }}
{{- $width := 8 }}
{{- if contains ":" . }}
{{- $width = 16 }}
{{- $halves := splitList "::" (first $parts) }}
{{- $head := compact (splitList ":" (first $halves)) }}
{{- $tail := list }}
{{- if gt (len $halves) 1 }}
{{- $tail = compact (splitList ":" (last $halves)) }}
{{- $missing := sub 8 (add (len $head) (len $tail)) }}
{{- if or (gt (len $halves) 2) (lt (int $missing) 1) }}
{{- fail $refusal }}
{{- end }}
{{- range until (int $missing) }}
{{- $head = append $head "0" }}
{{- end }}
{{- end }}
{{- range concat $head $tail }}
{{- if gt (len .) 4 }}
{{- fail $refusal }}
{{- end }}
{{- $groups = append $groups (int (printf "0x%s" .)) }}
{{- end }}
{{- else }}
{{- range splitList "." (first $parts) }}
{{- $groups = append $groups (int (regexReplaceAll "^0+(.)" . "${1}")) }}
{{- end }}
{{- end }}
{{- $length := int (regexReplaceAll "^0+(.)" (last $parts) "${1}") }}
{{- if or (ne (mul (len $groups) $width) (ternary 128 32 (eq $width 16))) (gt $length (int (mul (len $groups) $width))) }}
{{- fail $refusal }}
{{- end }}
{{- dict "groups" $groups "width" $width "length" $length | toJson }}
{{- end }}

{{- /* Whether the first of two CIDRs contains the second one, or is the same. */}}
{{- define "pollinator.contains" -}}
{{- $outer := first . }}
{{- $inner := last . }}
{{- $same := and (eq $outer.width $inner.width) (le $outer.length $inner.length) }}
{{- if $same }}
{{- $powers := list 1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536 }}
{{- $width := int $outer.width }}
{{- range $index, $group := $outer.groups }}
{{- $bits := min (max (sub (int $outer.length) (mul $index $width)) 0) $width }}
{{- $unit := index $powers (int (sub $width $bits)) }}
{{- if ne (div (int $group) $unit) (div (int (index $inner.groups $index)) $unit) }}
{{- $same = false }}
{{- end }}
{{- end }}
{{- end }}
{{- if $same }}yes{{ end }}
{{- end }}
