// Package slipradio drives 802.15.4 radios that run Contiki's radio firmwares, over a serial
// line or TCP. A [Radio] is an [ieee802154.Radio].
//
// Three dialects are spoken, all framed with SLIP (RFC 1055):
//
//   - slip: the slip-radio of Contiki-NG. Commands are two letters (?M, !S, !V); any other
//     frame is a MAC frame. The firmware acknowledges and retries by itself and says with
//     !R what became of a frame; up to 16 are outstanding.
//   - 6lbr: the fork of it that came with 6LBR, which sets channel and PAN with !C and !P.
//   - serialradio: the one of Contiki-NG 2026, CBOR maps (RFC 8949) with a CRC-16 behind.
//     The firmware acknowledges, but does not wait for acknowledgments: the [ieee802154.MAC]
//     of this package does that and the retries, and RSSI and LQI are known.
//
// Without a dialect all are asked, and what answers is spoken. Without a rate each
// of [Rates] is tried, with every dialect; the error says what came back.
//
// A Radio is supervised: it opens the line again with back-off when it fails, the radio is
// silent or was never there, sets channel and PAN again when the radio restarted behind a
// living line, and keeps Receive and Transmit waiting meanwhile. Frames that were under way
// are sent again within their lifetime.
//
// Left out: attributes of !S (their numbers depend on how the firmware was built), TSCH, and
// the scans and jamming of serialradio.
package slipradio
