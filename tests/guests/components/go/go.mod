module counter

go 1.27
