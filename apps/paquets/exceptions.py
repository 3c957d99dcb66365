from rest_framework.exceptions import APIException

from apps.core.exceptions import Conflict


class NothingNew(Conflict):
    default_code = "rien_de_nouveau"
    default_detail = (
        "Rien de nouveau ne tient dans ce budget avec ces filtres : élargissez-les, ou demandez "
        "deja=true pour reprendre aussi ce que vous avez déjà reçu."
    )


class Outdated(APIException):
    status_code = 410
    default_code = "paquet_perime"
    default_detail = (
        "Une épreuve de ce paquet a été retirée ou remplacée : effacez ce qui en est arrivé et "
        "demandez un autre paquet."
    )
