package main

import (
	"context"
	"log/slog"

	"border-router/internal/config"
	"border-router/internal/daemon"
	"border-router/internal/discover"
	"border-router/internal/radios"
)

// findRadios puts the radio that is there in place of "auto", and waits for one where there
// is none. The error is that there are several.
// waiting, where set, is told why it waits, each time that changes.
func findRadios(ctx context.Context, list []config.Radio, log *slog.Logger, waiting func(why string)) error {
	return findRadiosIn(ctx, discover.System{}, list, log, waiting)
}

func findRadiosIn(ctx context.Context, system discover.System, list []config.Radio, log *slog.Logger, waiting func(why string)) error {
	for i, r := range list {
		if !r.IsAuto() {
			continue
		}
		query, err := radios.AutoQuery(string(r))
		if err != nil {
			return err
		}
		f := discover.Finder{Prober: discover.Prober{System: system}, Logger: log, Waiting: waiting, Taken: others(list, i)}
		log.Info("looking for a radio")
		found, err := f.Wait(ctx, query)
		if err != nil {
			return err
		}
		q := found.Radio
		log.Info("radio found", "radio", q.URL, "port", found.Target, "protocol", q.Protocol, "firmware", q.Version, "eui64", q.EUI64)
		if err := list[i].UnmarshalText([]byte(q.URL)); err != nil {
			return err
		}
	}
	return nil
}

// others returns the URLs of all radios but number i.
func others(list []config.Radio, i int) (urls []string) {
	for k, r := range list {
		if k != i && !r.IsAuto() {
			urls = append(urls, string(r))
		}
	}
	return urls
}

// nextRadio finds with f the radio that takes the place of one that was found for "auto" and
// is gone.
func nextRadio(f discover.Finder) daemon.NextRadio {
	return func(ctx context.Context, auto config.Radio, list []config.Radio, i int, down func() bool, waiting func(string)) (next config.Radio, err error) {
		query, err := radios.AutoQuery(string(auto))
		if err != nil {
			return "", err
		}
		f := f // a radio has one of its own
		f.Taken, f.Waiting = others(list, i), waiting
		found, err := f.Next(ctx, string(list[i]), query, down)
		if err != nil {
			return "", err
		}
		err = next.UnmarshalText([]byte(found.Radio.URL))
		return next, err
	}
}
