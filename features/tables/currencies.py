"""Marks of currencies beside amounts: codes of ISO 4217 and what people write instead."""

CODES = (
    r"AED|AFN|ALL|AMD|ANG|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BGN|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|BWP|BYN|BZD|CAD|CDF|"
    r"CHF|CLP|CNY|COP|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|GEL|GHS|GIP|GMD|GNF|GTQ|GYD|HKD|"
    r"HNL|HRK|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KPW|KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|LSL|"
    r"LYD|MAD|MDL|MGA|MKD|MMK|MNT|MOP|MRU|MUR|MVR|MWK|MXN|MYR|MZN|NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|"
    r"PLN|PYG|QAR|RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|TND|TOP|"
    r"TRY|TTD|TWD|TZS|UAH|UGX|USD|UYU|UZS|VED|VES|VND|VUV|WST|XAF|XCD|XOF|XPF|YER|ZAR|ZMW|ZWG"
)
"""ISO 4217."""

LETTERS = (
    r"kr\.|kr|Kr\.|Kr|KR|Rs\.|Rs|RS|Re\.|Rp\.|Rp|RM|Fr\.|Fr|SFr\.|SFr|sFr\.|zł|Kč|Ft|lei|Lei|лв\.|лв|руб\.|руб|"
    r"р\.|ден\.|дин\.|din\.|TL|KM|Php\.|Php|KSh|Ksh|TSh|USh|GH₵|S/\.|S/|B/\.|Bs\.|Bs|Gs\.|Dhs\.|Dhs|SR|QR|Lek"
)
"""Of marks that begin alike the longer one comes first."""

DOLLARS = r"R|US|U\.S\.|CA|CDN|C|AU|A|NZ|N|HK|SG|S|NT|MX|Mex|J|TT|EC|BZ|BB|BD|B|FJ|G|L|Z"
"""What stands before the sign of a dollar, a peso or a real."""

MARK = rf"(?:(?:{DOLLARS})\$|{LETTERS}|(?:{CODES})\.?|\p{{Sc}})"
"""A pattern of one mark."""
