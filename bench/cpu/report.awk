# SPDX-License-Identifier: BSD-2-Clause
# bench/cpu/report.awk - medians, slowdowns and their means
#
# stdin: name, group, unit of each workload (tabs between); -v raw=FILE: "who name group
# ns" of each round; -v mode=text|md|svg. The group smp is about speed-up by a second CPU
# and takes no part in means.

BEGIN {
	while ((getline line < raw) > 0) {
		split(line, f, " ")
		k = f[1] " " f[2]
		value[k, ++count[k]] = f[4] + 0
		seen[f[2]] = seen_who[f[1]] = 1
	}
	FS = "\t"
}

function median(k, n, i, j, t) {
	n = count[k]
	if (!n)
		return 0
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && value[k, j] < value[k, j - 1]; j--) {
			t = value[k, j]
			value[k, j] = value[k, j - 1]
			value[k, j - 1] = t
		}
	return n % 2 ? value[k, (n + 1) / 2] : (value[k, n / 2] + value[k, n / 2 + 1]) / 2
}

function digits(v) { return sprintf(v < 9.995 ? "%.2f" : v < 99.95 ? "%.1f" : "%.0f", v) }

function time_of(ns) {
	if (!ns)
		return "-"
	if (ns < 1e4)
		return digits(ns) " ns"
	if (ns < 1e7)
		return digits(ns / 1e3) " us"
	return ns < 1e9 ? digits(ns / 1e6) " ms" : digits(ns / 1e9) " s"
}

function times_of(x) { return x ? digits(x) : "-" }

function ratio(a, b) { return a && b ? a / b : 0 }

seen[$1] {
	if (!groups || group[groups] != $2)
		group[++groups] = $2
	n = ++works
	name[n] = $1
	of[n] = $2
	unit[n] = $3
	native[n] = median("native " $1)
	soft[n] = median("soft " $1)
	tcg[n] = median("tcg " $1)
	slow_soft[n] = ratio(soft[n], native[n])
	slow_tcg[n] = ratio(tcg[n], native[n])
	if (index($1, "-x1"))
		single[$2, substr($1, 1, length($1) - 3)] = n
	if (index($1, "-x2")) {
		first[++pairs] = single[$2, substr($1, 1, length($1) - 3)]
		second[pairs] = n
		pair[pairs] = substr($1, 1, length($1) - 3)
	}
}

function mean(v, g, i, sum, n) {
	for (i = 1; i <= works; i++)
		if (v[i] && of[i] != "smp" && (g == "" || of[i] == g)) {
			sum += log(v[i])
			n++
		}
	mean_count = n
	return n ? exp(sum / n) : 0
}

function row(a, b, c, d, e, f, g) {
	if (mode == "md")
		printf "| %s | %s | %s | %s | %s | %s | %s |\n", a, b, c, d, e, f, g
	else
		printf "%-16s %-34s %9s %9s %9s %8s %8s\n", a, b, c, d, e, f, g
}

function tables(g, i, s, worse, k) {
	head = mode == "md" ? "\n## %s\n\n" : "\n%s\n"
	if (mode == "md")
		print "Times are for one operation. Slowdown is the time divided by the native one.\n"
	if (mode == "md")
		print "| group | workloads | software CPU, slowdown | QEMU TCG, slowdown | slower than TCG |\n|---|--:|--:|--:|---|"
	else
		printf "%-16s %9s %12s %12s  %s\n", "group", "workloads", "soft slower", "tcg slower", "slower than tcg"
	for (g = 1; g <= groups + 1; g++) {
		if (group[g] == "smp")
			continue
		worse = ""
		for (i = 1; i <= works; i++)
			if (tcg[i] && soft[i] > tcg[i] && of[i] == group[g])
				worse = worse (worse == "" ? "" : ", ") name[i]
		s = mean(slow_soft, group[g])
		k = mean_count
		line = mode == "md" ? "| %s | %d | %s | %s | %s |\n" : "%-16s %9d %12s %12s  %s\n"
		printf line,
			(g > groups ? "all" : group[g]), k, times_of(s),
			times_of(mean(slow_tcg, group[g])), worse
	}
	for (g = 1; g <= groups; g++) {
		printf head, group[g]
		row("workload", "one operation is", "native", "soft", "tcg", "soft x", "tcg x")
		if (mode == "md")
			print "|---|---|--:|--:|--:|--:|--:|"
		for (i = 1; i <= works; i++)
			if (of[i] == group[g])
				row(name[i], unit[i], time_of(native[i]), time_of(soft[i]), time_of(tcg[i]),
					times_of(slow_soft[i]), times_of(slow_tcg[i]))
	}
	if (!pairs)
		return
	printf head, "speed-up of two processes by a second CPU"
	if (mode == "md")
		print "| load | native | soft | tcg |\n|---|--:|--:|--:|"
	else
		printf "%-16s %9s %9s %9s\n", "load", "native", "soft", "tcg"
	line = mode == "md" ? "| %s | %s | %s | %s |\n" : "%-16s %9s %9s %9s\n"
	for (i = 1; i <= pairs; i++)
		printf line, pair[i],
			times_of(ratio(native[first[i]], native[second[i]])),
			times_of(ratio(soft[first[i]], soft[second[i]])),
			times_of(ratio(tcg[first[i]], tcg[second[i]]))
}

# ------------------------------------------------------------------------------ the chart
function x_of(v) { return left + (v < 0.5 ? 0 : log(v / 0.5) / log(2) * octave) }

function text(x, y, what, attributes) {
	printf "<text x=\"%.1f\" y=\"%.1f\"%s>%s</text>\n", x, y, attributes, what
}

function bar(y, h, v, class, from, to) {
	if (!v)
		return
	from = x_of(v < 1 ? v : 1)
	to = x_of(v < 1 ? 1 : v)
	printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"%s\"/>\n", from, y, to - from, h, class
	text(to + 3, y + h - 1, times_of(v), " class=\"v\"")
}

function chart(g, i, y, top, v, high, width, height, axis, rows) {
	left = 150
	octave = 68
	top = 74
	high = 2
	for (i = 1; i <= works; i++) {
		while (high < slow_soft[i] || high < slow_tcg[i])
			high *= 2
		rows += of[i] != "smp"
	}
	for (g = 1; g <= groups; g++)
		rows += (group[g] != "smp") * 2
	width = x_of(high) + 60
	height = top + rows * 20 + 20
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height, width, height
	print "<title>Slowdown against native: HyperKit's software CPU and QEMU TCG</title>"
	print "<style>.s{fill:#0b6e99}.t{fill:#e0a030}.v{font-size:9px;fill:#444}.a{stroke:#ddd}.o{stroke:#555}.g{font-weight:bold}</style>"
	printf "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height
	text(12, 22, "Slowdown against native (1 = as fast as the host; shorter is better; log scale; means are geometric)", " font-size=\"14\"")
	print "<rect x=\"12\" y=\"34\" width=\"12\" height=\"12\" class=\"s\"/>"
	text(29, 44, "HyperKit, software CPU")
	print "<rect x=\"180\" y=\"34\" width=\"12\" height=\"12\" class=\"t\"/>"
	text(197, 44, "QEMU TCG")
	for (v = 0.5; v <= high; v *= 2) {
		printf "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" class=\"%s\"/>\n", x_of(v), top - 8, x_of(v), height - 12, v == 1 ? "o" : "a"
		text(x_of(v), top - 12, v "x", " text-anchor=\"middle\" class=\"v\"")
	}
	y = top
	for (g = 1; g <= groups; g++) {
		if (group[g] == "smp")
			continue
		y += 10
		text(left - 6, y + 10, group[g] ", mean", " text-anchor=\"end\" class=\"g\"")
		bar(y, 8, mean(slow_soft, group[g]), "s")
		bar(y + 8, 8, mean(slow_tcg, group[g]), "t")
		y += 22
		for (i = 1; i <= works; i++) {
			if (of[i] != group[g])
				continue
			text(left - 6, y + 10, name[i], " text-anchor=\"end\"")
			bar(y, 7, slow_soft[i], "s")
			bar(y + 7, 7, slow_tcg[i], "t")
			y += 20
		}
		y += 8
	}
	print "</svg>"
}

END {
	if (mode == "svg")
		chart()
	else
		tables()
}
