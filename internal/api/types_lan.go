package api

import "net/netip"

// A LAN is the Ethernet link of the uplink: a part of [Status].
type LAN struct {
	Port      string `json:"port"`
	Interface string `json:"interface"`        // as it is called now
	State     string `json:"state"`            // "up" or "down"
	Reason    string `json:"reason,omitempty"` // why it is down, and what to do about it
	LinkAddr  string `json:"lladdr"`
	Reopened  uint64 `json:"reopened"` // times that the interface came back
	Neighbors int    `json:"neighbors"`

	Addresses  []LANAddress    `json:"addresses"`
	Prefixes   []LANPrefix     `json:"prefixes"`   // on the link
	Routes     []LANRoute      `json:"routes"`     // by other routers; ::/0: default routers
	Advertised []LANAdvertised `json:"advertised"` // what hosts have from us
	DNS        []netip.Addr    `json:"dns"`
	Search     []string        `json:"search"`
	NAT64      []netip.Prefix  `json:"nat64"`

	MLD  MLD     `json:"mld"`
	DHCP *Leased `json:"dhcp,omitempty"` // none: nothing is asked for
}

// A LANAddress is an address of ours on the LAN.
type LANAddress struct {
	Addr      netip.Addr `json:"addr"`
	State     string     `json:"state"`                 // "tentative", "preferred", "deprecated" or "duplicate" (RFC 4862)
	Preferred *float64   `json:"preferred_s,omitempty"` // left of the preferred lifetime; none: for good
	Valid     *float64   `json:"valid_s,omitempty"`     // left of the valid lifetime; none: for good
	Source    string     `json:"source"`                // "slaac", "dhcp" or "kernel"
}

// A LANPrefix is a prefix that is on the LAN.
type LANPrefix struct {
	Prefix netip.Prefix `json:"prefix"`
	Source string       `json:"source"` // "router": another one advertises it; "offered": we do
}

// A LANRoute is a route that another router advertises.
type LANRoute struct {
	Prefix     netip.Prefix `json:"prefix"`
	NextHop    netip.Addr   `json:"next_hop"`
	Preference string       `json:"preference"`          // "low", "medium" or "high" (RFC 4191)
	Expires    *float64     `json:"expires_s,omitempty"` // none: never
	Selected   bool         `json:"selected"`            // the one in use
}

// A LANAdvertised is what our router advertisements say of a prefix.
type LANAdvertised struct {
	Prefix netip.Prefix `json:"prefix"`
	Kind   string       `json:"kind"`  // "route" (RFC 4191) or "prefix" to form addresses from
	State  string       `json:"state"` // "announced", or "ending": deprecated or withdrawn
}

// MLD is multicast listener discovery on a port.
type MLD struct {
	Querier   bool         `json:"querier"`                 // we are
	Other     netip.Addr   `json:"other_querier,omitzero"`  // the querier, where it is another
	Groups    []netip.Addr `json:"groups"`                  // with listeners on the link
	Listening []netip.Addr `json:"listening"`               // what we listen to ourselves
	Proxied   []netip.Addr `json:"proxied_groups,omitzero"` // of those, for nodes (RFC 4605)
}

// Leased is what a DHCPv6 server has given us.
type Leased struct {
	State     string        `json:"state"`            // of the client, as RFC 8415 section 18.2 calls the exchange; "waiting": for the port
	Reason    string        `json:"reason,omitempty"` // why it waits, and what to do about it
	Server    string        `json:"server,omitempty"`
	Prefixes  []LeasedRange `json:"prefixes"`
	Addresses []LeasedRange `json:"addresses"`
	Renew     *float64      `json:"renew_s,omitempty"` // until T1; none: never
}

// A LeasedRange is a prefix, or an address as one of 128 bits.
type LeasedRange struct {
	Prefix    netip.Prefix `json:"prefix"`
	Preferred *float64     `json:"preferred_s,omitempty"` // none: for good
	Valid     *float64     `json:"valid_s,omitempty"`     // none: for good
}

// A Filter is the packet filter with its counters: a part of [Status].
type Filter struct {
	Rules     []FilterRule `json:"rules"`
	Default   string       `json:"default"` // "accept", "drop" or "reject"
	Unmatched uint64       `json:"unmatched"`
}

// A FilterRule is a rule of the packet filter.
type FilterRule struct {
	Name    string `json:"name"`
	Rule    string `json:"rule"` // as configured
	Action  string `json:"action"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}
