"""Where a shop is: what a command needs that speaks to rows and workflows."""

from __future__ import annotations

from dataclasses import dataclass

from settings import load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopAddress:
    """Where a shop's pages, its database and its workflows are."""

    public_url: str
    database_url: str
    temporal_address: str
    temporal_namespace: str

    @classmethod
    def from_settings(cls) -> ShopAddress:
        """Read them where API and worker do.

        Raises:
            SettingsError: The settings are not usable.
        """
        settings = load_settings()
        return cls(
            public_url=settings.public_url,
            database_url=settings.database_url.get_secret_value(),
            temporal_address=settings.temporal_address,
            temporal_namespace=settings.temporal_namespace,
        )
