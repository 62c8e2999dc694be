"""Where bytes lie: addresses, and storages asked with retries and one error.

One file for each storage: `disk`, `s3`, `gs`, `az`, `web`. Each asks through the client that knows
its cloud best, rather than all through one of `pyarrow.fs`, fsspec or obstore:

- S3 by boto3, as Metaflow does: its settings, endpoints and credentials hold for both.
- Google Cloud Storage by Google's own client, as Metaflow's datastore there. obstore speaks to it
  in XML, and no emulator that can be had answers conditional writes so: they would go untried.
- Azure by obstore, one wheel without dependencies. `adlfs` and `gcsfs` know no conditional writes,
  and PyArrow 10, of the first stack, no Azure.
"""

from __future__ import annotations

from mfx import plugins
from mfx.errors import MfxError
from mfx.plugins import Registry
from mfx.storage.address import Address
from mfx.storage.base import Storage

STORAGES: Registry[type[Storage]] = Registry(plugins.STORAGES, "storage")
"""By the scheme of their URLs."""


def open_storage(place: Address) -> Storage:
    """The bucket, or folder, that an address lies in.

    Raises:
        MfxError: No storage has this scheme, what it needs is not installed, or it cannot be asked:
            settings or credentials are missing.
    """
    if not place.bucket:
        raise MfxError(f"{place}: expected {place.scheme}://bucket/…, found no bucket")
    return STORAGES.get(place.scheme or plugins.DISK)(place)
