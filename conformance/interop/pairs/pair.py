"""Two or three parties and what they need: a pair, and how most of them begin and end."""

import dataclasses

from scenario import Dialog, Party

NUMBER, THIRD, HELP = "+493023125456", "+493023125999", "112"


@dataclasses.dataclass
class Pair:
    """The scenarios of the parties, and what they need of their trunks."""

    name: str
    left: Party
    right: Party
    third: Party | None = None
    keys: str = ""
    # What the left, the right and the third one need beside.
    left_keys: str = ""
    right_keys: str = ""
    third_keys: str = ""
    # Sections of the configuration that its trunks need beside; "[n]" is the number behind their names.
    rules: str = ""
    # Who stands at the targets of the right trunk; "gone" is where nobody is.
    targets: tuple = ("right",)
    # Whether the right trunk has a domain instead, whose servers they are.
    is_domain: bool = False
    # Whether calls of the left one that the right one does not take go on to the third.
    goes_on: bool = False
    # Keys that the right party must be sent as telephone events.
    events: str = ""
    # What the records of its calls must say.
    transfers: tuple = ()
    # Of the answered ones that were tried most often, or of each.
    attempts: int | tuple = 1
    # Status of those calls of the left party that are refused, and how many are answered.
    refused: tuple = ()
    answered: int = 1
    # How many were given up by their caller.
    cancelled: int = 0
    # Causes of the ends of those that were answered, where they are not hung up.
    causes: tuple = ("normal_clearing",)
    # Who calls a third party as well.
    by: str = ""
    # How many dialogs a party begins or is called in, where it is not one, and each is played by itself.
    rounds: dict = dataclasses.field(default_factory=dict)
    # Those who go on until all others have ended.
    endless: tuple = ()
    # Transports that it is not for.
    but: tuple = ()
    # Whether nothing is under way when an ACK arrives, so that it is played over connections that end then, too.
    bears_cuts: bool = False
    # How long it takes, in seconds: those that take long begin first.
    takes: int = 5
    # Says, of what each party heard, what is wrong with it, if anything.
    judge: object = None

    def parties(self):
        """Those that take part, by the names of their trunks."""
        sides = {"left": self.left, "right": self.right, "third": self.third}
        return {side: party for side, party in sides.items() if party}

    def calls(self):
        """How many records there are in the end."""
        return self.answered + self.cancelled + len(self.refused) + bool(self.by)


def ringing(*headers, of_left=None, of_right=None, **more):
    """A caller and a called party that rings. Says both with their dialogs."""
    left, right = Party(**(of_left or more)), Party(**(of_right or more))
    one, other = Dialog(left), Dialog(right)
    one.invite(*headers, to=NUMBER, until=180)
    other.called()
    other.says("180 Ringing")
    return left, right, one, other


def called(*headers, **more):
    """A caller and a called party who talk. Says both with their dialogs."""
    left, right, one, other = ringing(*headers, **more)
    other.answers()
    one.answered()
    return left, right, one, other


def hung_up(ending, ended, after=300):
    """One hangs up after some milliseconds, and the other hears of it."""
    ending.party.pause(after)
    ending.ends()
    ended.ended()
