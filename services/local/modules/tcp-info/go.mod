// The original tcp-info with its tools: they must read what ours writes, and its speed is what ours is compared with.
module mlab.test/programs/tcp-info

go 1.26.0

tool (
	github.com/m-lab/tcp-info
	github.com/m-lab/tcp-info/cmd/csvtool
	github.com/m-lab/tcp-info/cmd/example-eventsocket-client
)

require (
	github.com/araddon/dateparse v0.0.0-20200409225146-d820a6159ab1 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.1.1 // indirect
	github.com/gocarina/gocsv v0.0.0-20200827134620-49f5c3fa2b3e // indirect
	github.com/golang/protobuf v1.4.3 // indirect
	github.com/m-lab/go v0.1.66 // indirect
	github.com/m-lab/tcp-info v1.9.0 // indirect
	github.com/m-lab/uuid v0.0.0-20191115203855-549727171666 // indirect
	github.com/matttproud/golang_protobuf_extensions v1.0.1 // indirect
	github.com/prometheus/client_golang v1.11.1 // indirect
	github.com/prometheus/client_model v0.2.0 // indirect
	github.com/prometheus/common v0.26.0 // indirect
	github.com/prometheus/procfs v0.6.0 // indirect
	github.com/vishvananda/netlink v1.1.0 // indirect
	github.com/vishvananda/netns v0.0.0-20191106174202-0a2b9b5464df // indirect
	golang.org/x/sys v0.0.0-20220520151302-bc2c85ada10a // indirect
	google.golang.org/protobuf v1.26.0-rc.1 // indirect
)
