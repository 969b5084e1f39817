// A Go program with as many gauges as our cache holds, written as client_golang's documents say.
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var families = []string{
	"usage_bytes",
	"usage_limit_bytes",
	"usage_projected_bytes",
	"usage_ratio",
	"usage_percent",
	"usage_projected_ratio",
	"usage_period_start_timestamp_seconds",
	"usage_period_end_timestamp_seconds",
	"usage_exhaustion_timestamp_seconds",
	"usage_data_timestamp_seconds",
}

func main() {
	targets, _ := strconv.Atoi(os.Args[2])
	resources, _ := strconv.Atoi(os.Args[3])
	registry := prometheus.NewRegistry()
	for position, family := range families {
		gauge := prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: family, Help: "As usage-exporter publishes it."},
			[]string{"provider", "account", "resource"},
		)
		registry.MustRegister(gauge)
		for target := 0; target < targets; target++ {
			for resource := 0; resource < resources; resource++ {
				value := float64((resource*7919 + position*104729 + target) % 1000003)
				if position >= 3 {
					value *= 0.37
				}
				gauge.WithLabelValues(
					"tpstreams",
					fmt.Sprintf("account-%05d", target),
					fmt.Sprintf("resource_%03d", resource),
				).Set(value)
			}
		}
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if err := http.ListenAndServe(os.Args[1], nil); err != nil {
		panic(err)
	}
}
