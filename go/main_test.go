package hysock_test

import (
	"fmt"
	"os"
	"testing"

	"hysock"
)

// When all tests have closed what they made, the library holds nothing.
func TestMain(m *testing.M) {
	status := m.Run()
	if live := hysock.Live(); live != 0 && status == 0 {
		fmt.Printf("%d handles are left\n", live)
		status = 1
	}
	os.Exit(status)
}
