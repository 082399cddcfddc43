"""The netlist that a layout is: transistors, memory elements, and what joins them."""

import re

import klayout.db as db

from spicesim.layout.technology import Technology

__all__ = ["ELEMENT", "TOLERANCE", "VSS", "element_class", "extract_netlist", "transistor_class"]

ELEMENT = "memory"
"""Device class of memory elements: two terminals; what they conduct is programmed, and not drawn."""
VSS = "vss"
"""Net of the substrate and its ties."""
TOLERANCE = 1e-3
"""How far sizes of equal transistors may differ [um]."""
_SUBSTRATE = "substrate"


def element_class() -> db.DeviceClass:
    """Return the class of memory elements, whose two terminals, A and B, may be exchanged."""
    made = db.DeviceClass()
    made.name = ELEMENT
    made.add_terminal(db.DeviceTerminalDefinition("A", "above"))
    made.add_terminal(db.DeviceTerminalDefinition("B", "below"))
    made.equivalent_terminal_id(1, 0)
    return made


def transistor_class(name: str) -> db.DeviceClassMOS4Transistor:
    """Return the class of access transistors, compared by width and length, to 1 nm."""
    made = db.DeviceClassMOS4Transistor()
    made.name = name
    made.equal_parameters = _sizes()
    return made


def _sizes() -> db.EqualDeviceParameters:
    """Return how near the sizes of equal transistors are."""
    kind = db.DeviceClassMOS4Transistor
    width, length = (db.EqualDeviceParameters(number, TOLERANCE, 0.0) for number in (kind.PARAM_W, kind.PARAM_L))
    return width + length


class _Elements(db.GenericDeviceExtractor):  # type: ignore[misc,unused-ignore]
    """Finds a memory element wherever the marker lies between both metals."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ELEMENT

    def setup(self) -> None:
        """Say what it needs."""
        self.define_layer("M", "marker")
        self.define_layer("A", "metal above")
        self.define_layer("B", "metal below")
        self.register_device_class(element_class())

    def get_connectivity(self, layout: db.Layout, layers: list[int]) -> db.Connectivity:
        """Say what belongs together: a marker and the metals that it touches."""
        joined = db.Connectivity()
        joined.connect(layers[0], layers[0])
        joined.connect(layers[0], layers[1])
        joined.connect(layers[0], layers[2])
        return joined

    def extract_devices(self, layers: list[db.Region]) -> None:
        """Make a device of each marker that lies between both metals; a marker that does not is none."""
        marker, above, below = layers
        for part in marker.merged().each():
            spot = db.Region(part)
            if (spot - above).is_empty() and (spot - below).is_empty():
                device = self.create_device()
                self.define_terminal(device, 0, 1, part)
                self.define_terminal(device, 1, 2, part)


def extract_netlist(layout: db.Layout, technology: Technology, transistor: str) -> db.LayoutVsSchematic:
    """Extract the netlist of a layout's top cell.

    Parameters
    ----------
    layout : klayout.db.Layout
        The layout.
    technology : Technology
        Says which layers are which.
    transistor : str
        Name of the device class of access transistors.

    Returns
    -------
    klayout.db.LayoutVsSchematic
        Its `netlist()` is one flat circuit: fingers in parallel are one transistor [um]; the substrate's net is ``vss``
        if a tie joins it to that label.
    """
    found = db.LayoutVsSchematic(db.RecursiveShapeIterator(layout, layout.top_cell(), []))
    layers = {name: found.make_polygon_layer(layout.layer(*pair), name) for name, pair in technology.layers.items()}
    labels = {
        name: found.make_text_layer(layout.layer(*pair), f"{name}_label") for name, pair in technology.pins.items()
    }
    bulk = found.make_layer("bulk")
    gate = layers["active"] & layers["poly"] & layers["nplus"]
    ends = (layers["active"] & layers["nplus"]) - layers["poly"]
    tie = (layers["active"] & layers["pplus"]) - layers["nplus"]
    for name, region in (("gate", gate), ("ends", ends), ("tie", tie)):
        found.register(region, name)
    mos = db.DeviceExtractorMOS4Transistor(transistor)
    found.extract_devices(mos, {"SD": ends, "G": gate, "P": layers["poly"], "W": bulk})
    found.extract_devices(_Elements(), {"M": layers["device"], "A": layers["metal3"], "B": layers["metal2"]})
    for name in ("poly", "contact", "metal1", "via1", "metal2", "metal3"):
        found.connect(layers[name])
    for region in (ends, tie, bulk):
        found.connect(region)
    for one, other in (
        (ends, layers["contact"]), (tie, layers["contact"]), (layers["poly"], layers["contact"]),
        (layers["contact"], layers["metal1"]), (layers["metal1"], layers["via1"]), (layers["via1"], layers["metal2"]),
    ):  # fmt: skip
        found.connect(one, other)
    for name, texts in labels.items():
        found.connect(layers[name], texts)
    found.connect_global(bulk, _SUBSTRATE)
    found.connect_global(tie, _SUBSTRATE)
    found.extract_netlist()
    netlist = found.netlist()
    netlist.flatten()
    netlist.combine_devices()
    made = netlist.device_class_by_name(transistor)
    if made is not None:
        made.equal_parameters = _sizes()
    for circuit in netlist.each_circuit():
        for net in circuit.each_net():
            names = sorted(set(re.split(r"[,]", net.name))) if net.name else []
            if VSS in names and _SUBSTRATE in names:
                net.name = ",".join(name for name in names if name != _SUBSTRATE)
    return found
