package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"border-router/internal/api"
)

func (a *app) captureCmd() *cobra.Command {
	var (
		file     string
		req      api.CaptureRequest
		count    int
		duration time.Duration
	)
	cmd := &cobra.Command{
		Use:   "capture [flags]",
		Short: "Record frames and packets as pcapng",
		Long: `capture records what passes through the running router until it is interrupted: the IEEE
802.15.4 frames of each mesh with channel, RSSI and LQI, and the IPv6 packets of each port,
in pcapng, as Wireshark and tshark read it. Without -w it goes to the standard output.`,
		Example: `  border-router capture | wireshark -k -i -
  border-router capture -w mesh.pcapng --duration 1m
  border-router capture --port zep0 --radio-only -c 100 | tshark -r -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(cmd, "radio-only", "ip-only"); err != nil {
				return err
			}
			switch {
			case cmd.Flags().Changed("count") && count < 1:
				return usageError(cmd, fmt.Errorf("-c %d: want 1 or more", count))
			case duration < 0:
				return usageError(cmd, fmt.Errorf("--duration %s: want a positive duration", duration))
			case file == "-" && a.terminal:
				return usageError(cmd, errors.New("a capture is no text for a terminal; say -w FILE, or `border-router capture | wireshark -k -i -`"))
			}
			ctx := cmd.Context()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			r, err := a.client().Capture(ctx, req)
			if err != nil {
				return interrupted(ctx, err)
			}
			defer r.Close()
			w, closeFile := a.out, func() error { return nil }
			if file != "-" {
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
				if err != nil {
					return err
				}
				defer f.Close()
				w, closeFile = f, f.Close
				fmt.Fprintf(a.err, "border-router: capturing to %s; Ctrl-C ends it\n", file)
			}
			n, err := copyBlocks(w, r, count)
			if ctx.Err() != nil {
				err = nil // the end that was wanted; what was written ends with a block
			}
			if cerr := closeFile(); err == nil {
				err = cerr
			}
			if file != "-" {
				fmt.Fprintf(a.err, "border-router: %d packets captured\n", n)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "write", "w", "-", "write to `FILE`; - is the standard output")
	f.StringSliceVar(&req.Ports, "port", nil, "only this port, a `NAME` that status shows; may be given several times")
	f.IntVarP(&count, "count", "c", 0, "end after `N` packets")
	f.DurationVar(&duration, "duration", 0, "end after this `DURATION`, such as 30s")
	f.BoolVar(&req.Radio, "radio-only", false, "only IEEE 802.15.4 frames")
	f.BoolVar(&req.IP, "ip-only", false, "only IPv6 packets")
	return cmd
}

// Block types of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection        = 0x0a0d0d0a
	blockSimplePacket   = 3
	blockEnhancedPacket = 6
)

// maxBlock is the longest block that is believed, in bytes.
const maxBlock = 1 << 20

// copyBlocks copies pcapng block by block, so that what is written is a whole file
// whenever it ends, until count packets have been copied where count is not 0. It returns
// how many were.
func copyBlocks(w io.Writer, r io.Reader, count int) (packets int, err error) {
	var order binary.ByteOrder = binary.LittleEndian
	buf := make([]byte, 4096)
	for {
		head := buf[:12]
		if _, err := io.ReadFull(r, head); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the router has ended the capture")
			}
			return packets, err
		}
		// The type of a section reads the same both ways; its byte-order magic says which.
		typ := order.Uint32(head)
		if typ == blockSection {
			switch uint32(0x1a2b3c4d) {
			case binary.LittleEndian.Uint32(head[8:]):
				order = binary.LittleEndian
			case binary.BigEndian.Uint32(head[8:]):
				order = binary.BigEndian
			default:
				return packets, errors.New("what the router sends is no pcapng")
			}
		}
		n := int(order.Uint32(head[4:]))
		if n < 12 || n > maxBlock || n%4 != 0 {
			return packets, errors.New("what the router sends is no pcapng")
		}
		if n > len(buf) {
			buf = append(make([]byte, 0, n), head...)[:n]
		}
		if _, err := io.ReadFull(r, buf[12:n]); err != nil {
			return packets, err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return packets, err
		}
		if typ == blockEnhancedPacket || typ == blockSimplePacket {
			if packets++; packets == count {
				return packets, nil
			}
		}
	}
}
