module hysock

go 1.24
