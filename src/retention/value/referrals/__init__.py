"""Whom she brings: credit for referrals, past and expected, and the service that total value earns."""
