package main

import (
	"github.com/spf13/cobra"

	"border-router/internal/decode"
)

func (a *app) encodeCmd() *cobra.Command {
	var (
		opt      decode.Options
		contexts []string
		pan      string
		rpl      rplFlags
	)
	cmd := &cobra.Command{
		Use:   "encode [flags] [FILE...]",
		Short: "Encode IPv6 packets to 802.15.4 frames",
		Long: `encode compresses IPv6 packets and cuts them into IEEE 802.15.4 frames as the router does.
It reads lines of JSON from the files or the standard input:

  {"id":1,"l2_src":"0212740001020304","l2_dst":"5678","pan":"abcd",
   "contexts":[{"cid":0,"prefix":"fd00::","len":64,"compress":true}],"ipv6_hex":"60..."}

and prints a line for each, in order: frames, the whole frames without FCS, of which there
are several where the packet needs fragments, and compressed_hex, the compressed packet
without any. decode reads both. With --6lorh, packets of an RPL domain have their tunnels, RPL
option and source route in front of the compressed header, where --root and --rpl-option say
what is not sent; those that would not come back to the byte are encoded as without.
max_payload bounds what a frame carries, in bytes; checksum_elision, ghc and 6lorh, true or
false, and root and rpl_option are as the flags.`,
		Example: `  border-router encode --pan abcd --context 0=fd00::/64 packets.jsonl
  border-router encode --6lorh --root fd00::1 packets.jsonl
  border-router encode packets.jsonl | border-router decode --context 0=fd00::/64`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := codecOptions(cmd, &opt, contexts, pan, rpl); err != nil {
				return err
			}
			e := decode.NewEncoder(a.out, opt)
			err := a.eachFile(cmd.Context(), files, e.Read)
			if ferr := e.Flush(); err == nil {
				err = ferr
			}
			return readAll(cmd.Context(), e.Summary(), err)
		},
	}
	f := cmd.Flags()
	codecFlags(cmd, &contexts, &pan, &opt.GHC, &rpl, "PAN of lines that name none, a `HEX` number")
	f.BoolVar(&opt.ChecksumElision, "checksum-elision", false, "leave out right UDP checksums (RFC 6282 section 4.3.2)")
	f.BoolVar(&opt.PlainExtHeaders, "plain-ext-headers", false, "carry extension headers uncompressed, as for lwIP and Linux")
	f.BoolVar(&opt.RoutingHeaders, "6lorh", false, "encode tunnels, the RPL option and source routes as routing headers (RFC 8138); a line can say \"6lorh\":true")
	return cmd
}
