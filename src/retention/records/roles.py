"""Which column plays which role, guessed from its header."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from retention.frames.source import Source
from retention.records._names import plain

__all__ = ["guess_roles", "complete_roles", "lacking_roles", "column_headed", "SYNONYMS"]

# English, German, French and Spanish headers, and those of well-known exports (UCI Online Retail, Shopify, Stripe,
# WooCommerce, CDNOW), folded to small letters without accents, blanks and marks. Earlier words win.
SYNONYMS: dict[str, str] = {
    "customer": (
        "customerid customer customernumber customerno custid clientid client userid user memberid member donorid "
        "donor accountid account householdid household buyerid buyer "
        "kundennummer kundennr kundenid kundeid kunde kd kdnr "
        "numeroclient noclient idclient codeclient "
        "idcliente cliente numerocliente codigocliente nocliente masterid patientid patient "
        "customeremail email billingemail emailbilling customername who"
    ),
    "at": (
        "invoicedate orderdate transactiondate purchasedate saledate salesdate orderedat createdat datecreated "
        "createdutc created paidat processedat "
        "transactiontimestamp timestamp datetime date day at orderdatetime invoicedatetime "
        "rechnungsdatum bestelldatum belegdatum kaufdatum auftragsdatum datum buchungsdatum tag "
        "datefacture datecommande dateachat datedecommande datedefacture "
        "fechafactura fechapedido fechacompra fechadepedido fecha"
    ),
    "revenue": (
        "revenue linerevenue lineamount linetotal amount sales salesvalue salesamount netsales netamount turnover "
        "spend spending sum value money gift giftamount donation "
        "umsatz nettoumsatz betrag nettobetrag summe positionssumme "
        "montant montantht chiffredaffaires ca "
        "importe monto venta ventas ingresos"
    ),
    "quantity": (
        "quantity qty lineitemquantity units unitssold pieces itemquantity "
        "menge anzahl stueck stuck quantite qte cantidad unidades"
    ),
    "unit_price": (
        "unitprice price lineitemprice itemprice priceperunit priceeach salesprice "
        "einzelpreis stueckpreis stuckpreis preis prixunitaire prix pu preciounitario precio"
    ),
    "order": (
        "invoiceno invoice invoiceid invoicenumber orderid order orderno ordernumber basketid transactionid receiptid "
        "receipt receiptno "
        "rechnungsnummer rechnungsnr rechnung bestellnummer bestellnr belegnummer belegnr auftragsnummer auftrag "
        "bon bonnr numerofacture nofacture facture numerocommande nocommande commande idcommande "
        "numerofactura nofactura factura pedido numeropedido idpedido ticket"
    ),
    "category": (
        "category productcategory productcategoryname productgroup department producttype "
        "kategorie warengruppe artikelgruppe produktgruppe categorie famille rayon categoria familia"
    ),
    "channel": (
        "channel saleschannel source store storeid branch shop location "
        "kanal vertriebskanal vertriebsweg filiale canal magasin canaldeventa tienda"
    ),
    "margin": (
        "margin contributionmargin grossmargin grossprofit profit contribution "
        "marge deckungsbeitrag rohertrag margebrute margen margenbruto beneficio"
    ),
    "cost": (
        "cost cogs costofgoods costofgoodssold linecost totalcost kosten wareneinsatz einstandswert "
        "cout coutdachat coste costo"
    ),
    "currency": "currency currencycode waehrung wahrung devise monnaie moneda divisa",
    "item": (
        "stockcode sku lineitemsku productid product productcode article articleid itemid item lineitemname "
        "artikelnummer artikelnr artikel produit reference codearticle articulo producto codigoproducto"
    ),
    "line_id": "lineid lineno linenumber rowid positionsnummer transactionlineid lineitemid",
}
# Totals of a whole order stand on each of its lines, or on the first alone: only when no line has its own money.
_ORDER_TOTALS = (
    "total subtotal totalamount ordertotal ordertotalamount invoicetotal grandtotal totalprice gesamtbetrag gesamt "
    "rechnungsbetrag totalht totalttc importetotal"
)


def guess_roles(names: Iterable[str]) -> dict[str, str]:
    """The column that plays each role of ``read_transactions``; roles that no header names are left out.

    Only whole headers count, whatever their case, blanks and accents. The money of a line is ``revenue``, or else
    ``quantity`` and ``unit_price``; the total of an order is taken only when there is nothing else.

    Example:
        >>> guess_roles(["Quantity", "InvoiceDate", "UnitPrice", "CustomerID"])
        {'customer': 'CustomerID', 'at': 'InvoiceDate', 'quantity': 'Quantity', 'unit_price': 'UnitPrice'}
    """
    by_word = _by_word(names)
    guessed = {role: found for role, words in SYNONYMS.items() if (found := _first(words, by_word))}
    if "order" not in guessed and {"name", "lineitemquantity"} <= by_word.keys():  # Shopify's orders are called Name
        guessed["order"] = by_word["name"]
    if "revenue" in guessed or not {"quantity", "unit_price"} <= guessed.keys():
        guessed.pop("unit_price", None)
    if not {"revenue", "unit_price"} & guessed.keys() and (total := _first(_ORDER_TOTALS, by_word)):
        guessed["revenue"] = total
    return guessed


def complete_roles(source: Source, given: Mapping[str, Any]) -> dict[str, Any]:
    """The roles given, and guesses for the others that do not contradict them or use the same column.

    A column of order totals is no guess where an order stands on several rows: the total would be counted on each.
    """
    guesses = guess_roles(name for name in source.columns if name not in given.values())
    if "revenue" in given:
        guesses.pop("unit_price", None)
    if "unit_price" in given:
        guesses.pop("revenue", None)
    if "margin" in given:
        guesses.pop("cost", None)
    if "cost" in given:
        guesses.pop("margin", None)
    if "margin" in guesses:
        guesses.pop("cost", None)
    roles = guesses | dict(given)
    total_guessed = "revenue" in guesses and _folded(guesses["revenue"]) in _ORDER_TOTALS.split()
    if total_guessed and roles.get("order") in source.columns and _repeats(source, roles["order"]):
        del roles["revenue"]
    return roles


def _repeats(source: Source, order: str) -> bool:
    numbers = source.columns[order].identity()
    numbers = numbers[numbers >= 0]
    return len(np.unique(numbers)) < len(numbers)


def lacking_roles(roles: Mapping[str, Any]) -> list[str]:
    """What ``read_transactions`` would still need."""
    lacking = [role for role in ("customer", "at") if role not in roles]
    if "revenue" not in roles and not {"quantity", "unit_price"} <= roles.keys():
        lacking.append("revenue (or quantity and unit_price)")
    return lacking


def column_headed(words: str, names: Iterable[str]) -> str | None:
    """The first column whose header is one of these words, earlier words before later ones.

    Example:
        >>> column_headed("customerid kundennummer", ["Datum", "Kunden-Nummer"])
        'Kunden-Nummer'
    """
    return _first(words, _by_word(names))


def _by_word(names: Iterable[str]) -> dict[str, str]:
    by_word: dict[str, str] = {}
    for name in names:
        by_word.setdefault(_folded(name), name)
    return by_word


def _first(words: str, by_word: dict[str, str]) -> str | None:
    return next((by_word[word] for word in words.split() if word in by_word), None)


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", plain(name.replace("°", "o")))
