"""`mlab run`: reconciles one environment for as long as it lives, pass after pass, each computed from scratch."""
