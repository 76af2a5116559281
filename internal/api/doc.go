// Package api is the management interface of a running router: HTTP with JSON over a unix
// socket, its server and its client.
//
// It covers
//
//	GET  /v1/status     [Status]: ports with every counter and the reason of every drop
//	GET  /v1/neighbors  array of [Neighbor]
//	GET  /v1/routes     array of [Route]
//	POST /v1/ping       [PingRequest] in, one [PingReply] a line out, as they happen
//	GET  /v1/capture    pcapng until the reader goes; ?ports=a,b &only=radio|ip
//	GET  /v1/config     [Config]: the effective configuration
//	GET  /v1/version    [Version]
//
// An error is {"error": "..."} with a status of 400, 404, 405 or 500. Names are stable
// within /v1: fields are added, never renamed.
//
// Access is by the file mode of the socket: 0600, in a directory that nobody else can
// write to. There is no TCP listener here.
//
// It leaves out what the answers are made of: that is the [Backend]'s.
package api
