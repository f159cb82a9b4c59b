package fleet

import (
	"context"

	"spillway/functions/app"
)

// maintain does one run of the timer.
func maintain(ctx context.Context, a *app.App) { a.Maintain(ctx) }
