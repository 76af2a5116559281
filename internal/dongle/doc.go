// Package dongle emulates radio dongles: each speaks the protocol of a firmware on a line, and
// sends and receives through another radio, such as ZEP. So a user without hardware can try
// what a dongle does, and drivers are tested against it.
//
// [Spinel] is OpenThread RCP in raw MAC mode, [Slip] is Contiki's slip-radio, 6LBR's fork of it, and serialradio.
package dongle
