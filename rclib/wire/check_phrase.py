"""Six words that two people compare on the phone: the check phrase of two identities.

Both ends derive them from the two identity keys that they themselves hold and see. Whoever
swapped a key on the way would have to find another one that gives the same words: 48 bits, each
guess at the price of one scrypt (RFC 7914).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rclib.wire.identity import Domain, statement

if TYPE_CHECKING:
    from rclib.wire.ids import IdentityKey

WORDS: Final = 6
# 16 MiB and some 50 ms a guess on an ordinary machine.
_COST, _BLOCK_SIZE, _PARALLEL = 2**14, 8, 1
_MAX_MEMORY: Final = 64 * 1024 * 1024

# One byte, one word; spelled alike in German and English, no two differ in a single letter.
WORD_LIST: Final = tuple(
    """
    alarm album alligator altar ampere angora anorak april arena aroma aspirin astronaut atlas
    atom august auto baby ball bandit baron basalt bikini bingo bison block bonbon bonus bowling
    boxer bravo bronze browser bungalow butter cafe camping cello cent chaos chip clown club
    cockpit cocktail comic computer container couch cousin curry delta depot design detail
    diesel diva dollar domino drama echo element epoxy espresso event extra fanfare farm
    festival film filter finale finger fitness flamingo flora forum frost fusion gambit gecko
    generator giraffe gold gorilla grill hammer hamster handball hobby hockey hotel illusion
    import index info insulin iris jaguar jazz jeans jeep jogging joker judo jumbo jury karate
    kiosk kiwi koala kraken laser lava legion lemming limbo limit lotion lotus lunch magma
    magnet manager mandarin mango marathon marina matrix medium mentor meteor mikado minimum
    mixer modem monitor monster monument moped motor motto museum mustang neutron nickel ninja
    nougat november nylon oboe okapi olive omega opal orange orbit organ origami panda panorama
    panther park partner party patent pause pilot pizza planet plankton plasma podium pollen
    polo portal poster propeller protein pudding puma puzzle pyjama quark radar radio ranger
    reform relief restaurant safari salami samba sandwich sardine sauna seminar senator sensor
    september service sheriff sherpa signal slalom snack sofa software solar sponsor sport spray
    sprint standard station statue steak stereo strand student studio sultan surfer symbol
    system tablet taxi tempo tennis terminal tiger toaster tornado torpedo tourist trainer
    transport trick tsunami tundra tunnel turban turbine twist veranda version video villa
    vitamin watt western whisky winter wolf wombat yacht zebra
    """.split()  # noqa: SIM905 - a literal would be 256 lines
)


@lru_cache(maxsize=256)
def check_phrase(technician: IdentityKey, gateway: IdentityKey) -> tuple[str, ...]:
    """Return the WORDS words of this pair of identities. Takes some 50 ms the first time."""
    digest = hashlib.scrypt(
        statement(Domain.CHECK_PHRASE, technician, gateway),
        salt=Domain.CHECK_PHRASE.value.encode(),
        n=_COST,
        r=_BLOCK_SIZE,
        p=_PARALLEL,
        maxmem=_MAX_MEMORY,
        dklen=WORDS,
    )
    return tuple(WORD_LIST[each] for each in digest)
