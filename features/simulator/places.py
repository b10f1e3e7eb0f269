"""The cities of the chain, their climate, and the formats of its stores."""

from dataclasses import dataclass

import numpy as np

from daypart.features.simulator.noise import Index


@dataclass(frozen=True)
class Place:
    """A city. Temperatures in degrees Celsius: yearly mean, and half the range from winter to summer.

    `dryness` is the threshold that the latent wetness (standard normal) must pass for rain to fall.
    """

    city: str
    region: str
    country: str
    subdivision: str
    timezone: str
    latitude: float
    longitude: float
    mean_c: float
    season_c: float
    dryness: float


PLACES = (
    Place("New York", "Northeast", "US", "NY", "America/New_York", 40.7, -74.0, 12.5, 12.0, 1.30),
    Place("Toronto", "Canada East", "CA", "ON", "America/Toronto", 43.7, -79.4, 9.0, 13.0, 1.25),
    Place("Los Angeles", "West", "US", "CA", "America/Los_Angeles", 34.1, -118.2, 18.5, 5.0, 2.00),
    Place("Phoenix", "Mountain", "US", "AZ", "America/Phoenix", 33.4, -112.1, 23.5, 11.5, 2.20),
    Place("Halifax", "Canada East", "CA", "NS", "America/Halifax", 44.6, -63.6, 7.0, 12.0, 1.15),
    Place("Chicago", "Midwest", "US", "IL", "America/Chicago", 41.9, -87.6, 10.5, 13.5, 1.35),
    Place("Denver", "Mountain", "US", "CO", "America/Denver", 39.7, -105.0, 10.5, 12.0, 1.70),
    Place("Atlanta", "Southeast", "US", "GA", "America/New_York", 33.7, -84.4, 16.5, 10.0, 1.35),
    Place("Vancouver", "Canada West", "CA", "BC", "America/Vancouver", 49.3, -123.1, 10.5, 7.5, 1.05),
    Place("Boston", "Northeast", "US", "MA", "America/New_York", 42.4, -71.1, 11.0, 12.5, 1.30),
    Place("Dallas", "Midwest", "US", "TX", "America/Chicago", 32.8, -96.8, 19.0, 11.0, 1.65),
    Place("Montreal", "Canada East", "CA", "QC", "America/Toronto", 45.5, -73.6, 7.0, 15.5, 1.25),
    Place("Seattle", "West", "US", "WA", "America/Los_Angeles", 47.6, -122.3, 11.5, 7.0, 1.10),
    Place("Miami", "Southeast", "US", "FL", "America/New_York", 25.8, -80.2, 25.0, 4.5, 1.35),
    Place("Minneapolis", "Midwest", "US", "MN", "America/Chicago", 45.0, -93.3, 8.0, 17.0, 1.45),
    Place("Philadelphia", "Northeast", "US", "PA", "America/New_York", 40.0, -75.2, 13.0, 12.0, 1.35),
    Place("Calgary", "Canada West", "CA", "AB", "America/Edmonton", 51.0, -114.1, 4.5, 13.0, 1.60),
)
REGIONS = tuple(dict.fromkeys(place.region for place in PLACES))
ZONES = tuple(dict.fromkeys(place.timezone for place in PLACES))
ZONE_OF_PLACE: Index = np.array([ZONES.index(place.timezone) for place in PLACES])
REGION_OF_PLACE: Index = np.array([REGIONS.index(place.region) for place in PLACES])

DAYPART_OF_HOUR: Index = np.array([0] * 6 + [1] * 5 + [2] * 4 + [3] * 7 + [0] * 2)


@dataclass(frozen=True)
class Format:
    """A kind of store. Weights are the heights of breakfast, lunch and dinner relative to a busy hour of 1.

    `week` scales the days from Monday; `season` is the height and the peak's day of the year of the yearly
    and the half-yearly wave (in logs); `exposure` is how much of the weather's effect reaches it.
    """

    name: str
    opens: str
    closes: str
    weights: tuple[float, float, float]
    week: tuple[float, ...]
    season: tuple[float, int, float, int]
    exposure: float
    busy_orders: float
    quiet: float = 0.12


FORMATS = (
    Format("street", "06:00", "21:00", (0.80, 1.00, 0.60), (0.92, 0.95, 0.98, 1.0, 1.1, 1.2, 1.0),
           (0.10, 185, 0.07, 230), 1.0, 48),
    Format("drive-through", "05:00", "23:00", (1.00, 0.85, 0.80), (0.98, 0.97, 1.0, 1.0, 1.1, 1.05, 0.9),
           (0.09, 190, 0.06, 228), 0.6, 52),
    Format("drive-through 24h", "00:00", "00:00", (0.95, 0.85, 0.85), (0.95, 0.97, 1.0, 1.0, 1.1, 1.1, 0.95),
           (0.08, 190, 0.06, 228), 0.6, 49, 0.15),
    Format("campus", "07:00", "22:00", (0.70, 1.00, 0.75), (1.1, 1.1, 1.1, 1.05, 0.95, 0.65, 0.6),
           (0.20, 350, 0.12, 320), 0.8, 48),
    Format("late", "06:00", "01:00", (0.60, 0.80, 1.00), (0.85, 0.88, 0.92, 1.0, 1.25, 1.3, 1.0),
           (0.12, 185, 0.08, 232), 1.0, 48),
    Format("kiosk", "06:00", "20:00", (1.00, 0.90, 0.50), (1.12, 1.14, 1.12, 1.1, 1.0, 0.55, 0.45),
           (0.11, 340, 0.07, 318), 0.7, 42),
)  # fmt: skip
