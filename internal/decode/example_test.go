package decode_test

import (
	"context"
	"os"
	"strings"

	"border-router/internal/decode"
)

// A broadcast with a router solicitation, as a line of hexadecimal.
func Example() {
	d := decode.NewDecoder(os.Stdout, decode.Options{Format: decode.FormatTree})
	in := strings.NewReader("41d809cdabffff04030201007412027b3b3a028500000000000000\n")
	if err := d.Read(context.Background(), in); err != nil {
		panic(err)
	}
	d.Flush()
	// Output:
	// 1  IPv6, 48 bytes
	//   IEEE 802.15.4 data, version 2006, 0212740001020304 -> ffff
	//     wpan.seq_no: 9
	//     wpan.dst_pan: 0xabcd
	//     wpan.pending: 0
	//     wpan.ack_request: 0
	//     wpan.pan_id_compression: 1
	//   6LoWPAN IPHC
	//     6lowpan.iphc.tf: 3
	//     6lowpan.iphc.nh: 0
	//     6lowpan.iphc.hlim: 3
	//     6lowpan.iphc.cid: 0
	//     6lowpan.iphc.sac: 0
	//     6lowpan.iphc.sam: 3
	//     6lowpan.iphc.m: 1
	//     6lowpan.iphc.dac: 0
	//     6lowpan.iphc.dam: 3
	//     6lowpan.iphc.inline: 3a:02
	//   IPv6, fe80::12:7400:102:304 -> ff02::2
	//     ip.version: 6
	//     ipv6.tclass: 0x00000000
	//     ipv6.flow: 0x000000
	//     ipv6.plen: 8
	//     ipv6.nxt: 58
	//     ipv6.hlim: 255
	//     ipv6.src: fe80::12:7400:102:304
	//     ipv6.dst: ff02::2
	//     ICMPv6, Router solicitation
	//       icmpv6.type: 133
	//       icmpv6.code: 0
	//       icmpv6.checksum: 0x0000
	//       icmpv6.checksum.status: 0
	//       icmpv6.reserved: 00:00:00:00
}
