package scan

import (
	"context"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
)

// where is what is to be scanned: the clouds of a configuration, or those that are
// named, with the credentials of the environment.
type where struct {
	file                  string
	subscriptions, groups []string
	aws                   bool
	regions               []string
}

// named reports whether a place was named.
func (w where) named() bool {
	return w.aws || len(w.subscriptions)+len(w.groups)+len(w.regions) > 0
}

// over returns the configuration with nothing but what is to be scanned.
func (w where) over(ctx context.Context, read ReadConfig) (config.Config, error) {
	if w.named() && w.file != "" {
		return config.Config{}, errkind.New(errkind.Invalid, "--config names what to scan, so --subscription, --management-group, --aws and --region do not go with it")
	}
	if len(w.regions) > 0 && !w.aws {
		return config.Config{}, errkind.New(errkind.Invalid, "--region is about AWS; add --aws")
	}
	if !w.named() {
		return read(ctx, w.file)
	}
	cfg := config.Default()
	cfg.Azure.Subscriptions, cfg.Azure.ManagementGroups = w.subscriptions, w.groups
	if w.aws {
		cfg.AWS.Accounts = []config.AWSAccount{{Name: "here", Regions: w.regions}}
	}
	if err := config.Validate(cfg); err != nil {
		return config.Config{}, err
	}
	return cfg, nil
}
