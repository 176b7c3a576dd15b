package azure

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/provider/azure/estate"
)

// Survey returns who reads the estate that scope names, as the cloud's reader does.
// The credential and the options of scope are filled in. It makes no call.
func (c Cloud) Survey(scope estate.Config) (Surveyor, error) {
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	if scope.Credential, err = c.credential(c.Reader, options); err != nil {
		return nil, fmt.Errorf("find the Azure credentials: %w", err)
	}
	scope.Options = arm.ClientOptions{ClientOptions: options}
	r, err := estate.New(scope)
	if err != nil {
		return nil, err
	}
	return Estate{Reader: r}, nil
}

// An Estate surveys with the estate's own reader.
type Estate struct{ *estate.Reader }

// Survey implements [Surveyor].
func (e Estate) Survey(ctx context.Context) (Survey, error) {
	read, err := e.Read(ctx)
	if err != nil {
		return Survey{}, err
	}
	return Survey{VMs: read.VMs, Layers: read.Layers, Complete: len(read.Unread) == 0, Own: read.Own, Around: read.Around}, nil
}
