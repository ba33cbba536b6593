// Parses PromQL: one expression a line on standard input. Tells each that cannot be parsed, and fails if there is one.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	failed := false
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if _, err := parser.ParseExpr(lines.Text()); err != nil {
			fmt.Printf("%s: %v\n", lines.Text(), err)
			failed = true
		}
	}
	if failed || lines.Err() != nil {
		os.Exit(1)
	}
}
