package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"border-router/internal/decode"
)

func (a *app) decodeCmd() *cobra.Command {
	var (
		opt      decode.Options
		tree     bool
		file     string
		contexts []string
		key, pan string
		rpl      rplFlags
	)
	cmd := &cobra.Command{
		Use:   "decode [flags] [FILE...]",
		Short: "Decode captures of 802.15.4 frames to IPv6",
		Long: `decode restores the IPv6 packets in captures of IEEE 802.15.4 frames: header compression,
fragments and MAC security are undone as the router does it. It reads the files, or the
standard input, and tells for each by its first bytes what it is:

  pcap, pcapng  link types 195, 215, 230 and 283, and ZEP in UDP; gzip or not
  hexadecimal   lines with one frame each, without FCS
  JSON          lines with one object each, which stand for themselves: frame_hex (has_fcs),
                frames, or udp_payload_hex (ZEP); or l2_src, l2_dst, pan and payload_hex,
                compressed_hex or payloads. contexts, key, src_ext, root and rpl_option go with
                any of them

For each packet or line it prints one line of JSON, in order: ipv6_hex, or null and in drop
why nothing is delivered; mac, the header of the frame; fields, named as in Wireshark.
Fragments that wait for others are "held". A line that cannot be read has an "error", and
the exit status is 1 at the end.`,
		Example: `  border-router decode --context 0=fd00:1:2:3::/64 mesh.pcapng
  border-router decode --tree mesh.pcapng | less
  border-router decode -w ipv6.pcapng mesh.pcapng
  border-router capture --radio-only | border-router decode --tree
  echo 41d809cdabffff04030201007412027b3b3a028500000000000000 | border-router decode --tree`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := exclusive(cmd, "tree", "write"); err != nil {
				return err
			}
			if err := codecOptions(cmd, &opt, contexts, pan, rpl); err != nil {
				return err
			}
			opt.OnlyPAN = pan != ""
			if key != "" {
				k, err := decode.ParseKey(key)
				if err != nil {
					return usageError(cmd, fmt.Errorf("--key: %w", err))
				}
				opt.Key = k
			}
			w, closeFile := a.out, func() error { return nil }
			switch {
			case tree:
				opt.Format = decode.FormatTree
			case file != "":
				opt.Format = decode.FormatPcapng
				if file == "-" && a.terminal {
					return usageError(cmd, errors.New("a capture is no text for a terminal; say -w FILE"))
				}
				if file != "-" {
					f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
					if err != nil {
						return err
					}
					defer f.Close()
					w, closeFile = f, f.Close
				}
			}
			d := decode.NewDecoder(w, opt)
			err := a.eachFile(cmd.Context(), files, d.Read)
			if ferr := d.Flush(); err == nil {
				err = ferr
			}
			if cerr := closeFile(); err == nil {
				err = cerr
			}
			s := d.Summary()
			if opt.Format == decode.FormatPcapng {
				fmt.Fprintf(a.err, "border-router: %d IPv6 packets of %d inputs written\n", s.Delivered, s.Inputs)
			}
			if s.Incomplete > 0 {
				fmt.Fprintf(a.err, "border-router: %d datagrams lack fragments\n", s.Incomplete)
			}
			return readAll(cmd.Context(), s, err)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&tree, "tree", false, "print every layer as text")
	f.StringVarP(&file, "write", "w", "", "write the IPv6 packets to `FILE` as pcapng; - is the standard output")
	codecFlags(cmd, &contexts, &pan, &opt.GHC, &rpl, "only frames of this PAN, and that of lines that name none, a `HEX` number")
	f.StringVar(&key, "key", "", "of MAC security, 16 bytes in `HEX`")
	f.Uint16Var(&opt.ZEPPort, "zep-port", decode.DefaultZEPPort, "UDP `PORT` of ZEP")
	f.BoolVar(&opt.AnyFCS, "any-fcs", false, "decode frames whose FCS is wrong too, as of sniffers that put the signal strength there")
	return cmd
}

// rplFlags are those of the RPL instance.
type rplFlags struct{ root, option string }

// codecFlags adds the flags that decode and encode have in common.
func codecFlags(cmd *cobra.Command, contexts *[]string, pan *string, ghc *bool, rpl *rplFlags, panUsage string) {
	f := cmd.Flags()
	f.StringArrayVar(contexts, "context", nil, "compression context, as `ID=PREFIX/LEN`; may be given several times")
	f.StringVar(pan, "pan", "", panUsage)
	f.BoolVar(ghc, "ghc", false, "know generic header compression (RFC 7400)")
	f.StringVar(&rpl.root, "root", "", "address of the RPL root, to which tunnels refer (RFC 8138), an `ADDRESS`")
	f.StringVar(&rpl.option, "rpl-option", "23", "type of the RPL option, `HEX`: 23 (RFC 9008) or 63 (RFC 6553)")
}

// codecOptions puts what those flags say into opt.
func codecOptions(cmd *cobra.Command, opt *decode.Options, contexts []string, pan string, rpl rplFlags) error {
	for _, s := range contexts {
		if err := decode.ParseContext(&opt.Contexts, s); err != nil {
			return usageError(cmd, fmt.Errorf("--context: %w", err))
		}
	}
	if pan != "" {
		v, err := decode.ParsePAN(pan)
		if err != nil {
			return usageError(cmd, fmt.Errorf("--pan: %w", err))
		}
		opt.PAN = v
	}
	if rpl.root != "" {
		root, err := decode.ParseRoot(rpl.root)
		if err != nil {
			return usageError(cmd, fmt.Errorf("--root %q: %w", rpl.root, err))
		}
		opt.Contexts.Root = root
	}
	option, err := decode.ParseRPLOption(rpl.option)
	if err != nil {
		return usageError(cmd, fmt.Errorf("--rpl-option %q: %w", rpl.option, err))
	}
	opt.Contexts.RPLOption = option
	return nil
}

// eachFile gives the files, or the standard input, to read one after the other. A file
// that cannot be read does not keep those after it from being read.
func (a *app) eachFile(ctx context.Context, files []string, read func(context.Context, io.Reader) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	var errs []error
	for _, name := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := func() error {
			if name == "-" {
				return read(ctx, a.in)
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := read(ctx, f); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}()
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readAll makes the error of a command that has read all it could.
func readAll(ctx context.Context, s decode.Summary, err error) error {
	if err != nil {
		return interrupted(ctx, err)
	}
	if s.Errors > 0 {
		return fmt.Errorf("%d of %d lines cannot be read: see \"error\" there", s.Errors, s.Inputs)
	}
	return nil
}
