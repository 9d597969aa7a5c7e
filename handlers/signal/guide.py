"""How to get an account and a daemon, with the operator's own settings filled in."""

from __future__ import annotations

from runtime.signal_settings import SignalSettings

_GUIDE = """\
1  Get signal-cli (its native build needs no Java) and an account for it. A number of its own is best:
     signal-cli -a {account} register --captcha TOKEN     a captcha from https://signalcaptchas.org/registration/generate.html
     signal-cli -a {account} verify CODE
   or as a device of your own account, then with DURABLE_CLAUDE_SIGNAL_NOTE_TO_SELF=1:
     signal-cli link -n durable-claude                    show its address as a QR code, scan it with your phone
2  Run its daemon, as the same user, with a socket that nobody else can open:
     signal-cli -a {account} daemon --socket {daemon} --receive-mode=manual --no-receive-stdout \\
       --ignore-stories --ignore-avatars --ignore-stickers
   `manual` leaves messages on Signal's server while the handler is away; any other mode loses them.
3  Say who may write, and run the handler beside a worker:
     export DURABLE_CLAUDE_SIGNAL_ACCOUNT={account}
     export DURABLE_CLAUDE_SIGNAL_DAEMON={daemon}
     export DURABLE_CLAUDE_SIGNAL_OWNERS={owners}
     durable-claude up        and in another terminal        durable-claude signal
4  `durable-claude doctor` looks at all of it. Then write /help to {account} from your phone.
docs/signal.md has the rest: groups, roles, quiet hours, and what can go wrong."""


def guide(settings: SignalSettings) -> str:
    """The way from nothing to the first message."""
    owners = [person for person, role in settings.people.items() if role == "owner"]
    return _GUIDE.format(
        account=settings.account or "+15550000000",
        daemon=settings.daemon or "/run/user/1000/signal-cli/socket",
        owners=",".join(owners) or "+15550001111",
    )
