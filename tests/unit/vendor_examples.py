"""The answers on the vendor's page for Get Result, as they stand there."""

from __future__ import annotations

SIGNATURE_ID = "f302f5d2454a85c2"

PASSED = """
{
  "code": "SUCCESS",
  "message": "OK",
  "data": {
    "signatureId": "f302f5d2454a85c2",
    "overallResult": "PASS",
    "submissionCompleted": true,
    "idvResult": "PASS",
    "errorCode": "SUCCESS",
    "docDetail": {
      "ocrResult": "PASS",
      "docFrontImage": "https://abc.com/idFrontImage.jpg",
      "docBackImage": "https://abc.com/idBackImage.jpg",
      "docType": {
        "front": "MY-ID-MYKAD",
        "back": "MY-ID-MYKAD"
      },
      "subDocType": {
        "front": "MY-ID-MYKAD",
        "back": "MY-ID-MYKAD"
      },
      "ocrInfo": {
        "front": {
          "gender": "PEREMPUAN",
          "name": "****** ******",
          "address": "****** ****** ****** ******",
          "idNumber": "************",
          "religion": "",
          "birthday": "1977/10/28",
          "citizen": "MYS"
        },
        "back": {
          "idNumber": "************"
        }
      },
      "qualityLabels": {
        "front": {
          "isBlur": false,
          "isDim": false,
          "isExposure": true
        },
        "back": null
      },
      "forgeryLabels": [
        "photocopy"
      ],
      "eventDetails": [
        {
          "event": "FE_DOCUMENT_SCAN",
          "result": "PASS",
          "createTimestmap": 1665993522952
        }
      ]
    },
    "countryCodeIso3": "PHL"
  },
  "extra": null,
  "transactionId": "d3fde1547eeaf226",
  "pricingStrategy": "FREE"
}
"""

FAILED = """
{
    "code": "SUCCESS",
    "message": "OK",
    "data": {
      "signatureId":"f302f5d2454a85c2",
      "overallResult":"fail",
      "submissionCompleted": true,
      "idvResult":"fail",
      "errorCode":"NOT_SUPPORTED_CARD",
      "docDetail":  {
        "docResult": null,
        "docFrontImage": null,
        "docBackImage": null,
        "ocrInfo": null,
        "qualityLabels": null,
        "forgeryLabels": null
      },
      "countryCodeIso3": "PHL"
    },
    "extra": null,
    "transactionId": "d3fde1547eeaf226",
    "pricingStrategy": "FREE"
}
"""

#: No JSON: it has comments and a bare PASS.
PENDING_AS_PRINTED = """
{
  "code": "SUCCESS",
  "message": "OK",
  "data": {
    "overallResult": null, // still in processing
    "submissionCompleted": false,
    "idvResult": null, // still in processing
    "errorCode": null,
    "docDetail": {
      "ocrResult": PASS,
      "docFrontImage": "https://abc.com/idFrontImage.jpg",
      "docBackImage": "https://abc.com/idBackImage.jpg",
      "ocrInfo": {
        "front": {
          "birthday": "OCTOBER 28,1977",
          "name": "**************",
          "birthdayParsed": "1977/10/28",
          "idNumber": "09-*******-*"
        },
        "back": null
      },
       "qualityLabels": {
          "front": null,
          "back": null
      },
      "forgeryLabels": null, // in processing
      "eventDetails": [
          {
              "event": "FE_DOCUMENT_SCAN",
              "result": "PASS",
              "createTimestmap": 1665993522952
          }
      ]
    },
    "countryCodeIso3": "PHL"
  },
  "extra": null,
  "transactionId": "d3fde1547eeaf226",
  "pricingStrategy": "FREE"
}
"""

PENDING = (
    PENDING_AS_PRINTED.replace(" // still in processing", "")
    .replace(" // in processing", "")
    .replace('"ocrResult": PASS', '"ocrResult": "PASS"')
)

SIGNATURE_NOT_EXIST = """
{
    "code":"SIGNATURE_NOT_EXIST",
    "message":"This signatureId is not exist",
    "data":null,
    "extra":null,
    "transactionId":"b6d722f7e9f553ae",
    "pricingStrategy":"FREE"
}
"""

ERROR = """
{
    "code":"ERROR",
    "message":"Server error",
    "data":null,
    "extra":null,
    "transactionId":"1deae5a13ef2bd5e",
    "pricingStrategy":"FREE"
}
"""
