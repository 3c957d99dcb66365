"""What an institute of mathematics and physics teaches: the words of the demonstration bank.

Numbers in braces are drawn anew for each épreuve; every exercise is sound for a, b, n in 2 to 9.
The letters stay within Latin-1, which the built-in fonts of a PDF can write.
"""

from dataclasses import dataclass

FILIERES = {
    "MATH": "Mathématiques",
    "PHYS": "Physique",
    "STAT": "Statistique et probabilités",
}

NIVEAUX = ("L1", "L2", "L3", "M1")

MATIERES = {
    "ANALYSE": "Analyse",
    "ALGEBRE": "Algèbre",
    "TOPOLOGIE": "Topologie",
    "GEOMETRIE": "Géométrie",
    "EQUATIONS-DIFFERENTIELLES": "Équations différentielles",
    "ANALYSE-NUMERIQUE": "Analyse numérique",
    "PROBABILITES": "Probabilités",
    "STATISTIQUE": "Statistique",
    "MECANIQUE": "Mécanique",
    "ELECTROMAGNETISME": "Électromagnétisme",
    "THERMODYNAMIQUE": "Thermodynamique",
    "OPTIQUE": "Optique",
    "MECANIQUE-QUANTIQUE": "Mécanique quantique",
    "PHYSIQUE-STATISTIQUE": "Physique statistique",
}

# The filière whose students are most at home in a matière.
HOME = {
    **dict.fromkeys(MATIERES, "PHYS"),
    **dict.fromkeys(
        (
            "ANALYSE",
            "ALGEBRE",
            "TOPOLOGIE",
            "GEOMETRIE",
            "EQUATIONS-DIFFERENTIELLES",
            "ANALYSE-NUMERIQUE",
        ),
        "MATH",
    ),
    "PROBABILITES": "STAT",
    "STATISTIQUE": "STAT",
}


@dataclass(frozen=True)
class Exercise:
    """A question and the lines of its answer, numbers left open."""

    question: str
    answer: str


@dataclass(frozen=True)
class Course:
    """A course of one semester (1 to 8), for one filière, or for all of them when None."""

    semestre: int
    matiere: str
    filiere: str | None
    nom: str
    exercises: tuple[Exercise, ...]

    @property
    def niveau_idx(self) -> int:
        """The row of its niveau in NIVEAUX: two semesters a year."""
        return (self.semestre - 1) // 2


def _course(semestre: int, matiere: str, filiere: str | None, nom: str, *lines: str) -> Course:
    exercises = tuple(map(Exercise, lines[::2], lines[1::2]))
    return Course(semestre, matiere, filiere, nom, exercises)


COURSES: tuple[Course, ...] = (
    # --- Licence 1 ---------------------------------------------------------------------------
    _course(
        1,
        "ANALYSE",
        None,
        "Suites et fonctions réelles",
        "On pose u(0) = {a} et u(k+1) = (u(k) + {b}) / 2 pour tout entier k. Montrer que la suite "
        "u converge et calculer sa limite.",
        "v(k) = u(k) - {b} est géométrique de raison 1/2 ; la limite de u est {b}.",
        "Étudier les variations de f(x) = x^{n} exp(-{a} x) sur [0, +infini[ et déterminer son "
        "maximum.",
        "f'(x) = x^({n}-1) ({n} - {a} x) exp(-{a} x) ; le maximum est atteint en x = {n}/{a}.",
    ),
    _course(
        1,
        "ALGEBRE",
        None,
        "Ensembles, groupes et arithmétique",
        "Montrer que l'ensemble des racines {n}-ièmes de l'unité est un groupe cyclique pour la "
        "multiplication, et en donner un générateur.",
        "exp(2 i pi / {n}) engendre ce groupe, qui a {n} éléments.",
        "Montrer que, pour tout entier k, le nombre k^3 - k est divisible par 6. En déduire le "
        "reste de {a}^3 + {b}^3 - {a} - {b} dans la division par 6.",
        "k^3 - k = (k-1) k (k+1) contient un multiple de 2 et un multiple de 3 ; le reste est 0.",
    ),
    _course(
        1,
        "MECANIQUE",
        None,
        "Mécanique du point matériel",
        "Un projectile est lancé du sol à la vitesse {a}0 m/s sous un angle de 45 degrés. Établir "
        "l'équation de sa trajectoire et calculer sa portée (g = 10 m/s²).",
        "La portée vaut v²/g, soit {a}² x 10 mètres.",
        "Une masse de {a} kg glisse sans frottement au bout d'un ressort de raideur {b}00 N/m. "
        "Écrire l'équation du mouvement et calculer la période des oscillations.",
        "m x'' + k x = 0 ; T = 2 pi racine({a}/{b}00) secondes.",
    ),
    _course(
        1,
        "ELECTROMAGNETISME",
        None,
        "Électrocinétique",
        "Un condensateur de {a} µF se charge sous {b} V à travers une résistance de {n} kohms. "
        "Établir la loi de la tension à ses bornes et calculer la constante de temps.",
        "u(t) = {b} (1 - exp(-t/tau)), avec tau = RC = {a} x {n} millisecondes.",
        "Déterminer le générateur de Thévenin équivalent à une source de {a}0 V suivie d'un "
        "diviseur formé de deux résistances de {b} ohms.",
        "E = {a}0/2 V et R = {b}/2 ohms.",
    ),
    _course(
        1,
        "OPTIQUE",
        None,
        "Optique géométrique",
        "Un objet de {a} cm est placé à {b}0 cm devant une lentille convergente de distance "
        "focale {b} cm. Déterminer la position et la taille de l'image.",
        "1/p' = 1/f - 1/p donne p' = {b}0/9 cm ; l'image, renversée, mesure {a}/9 cm.",
        "Énoncer les lois de Descartes et calculer l'angle limite de réfraction entre un verre "
        "d'indice 1,{n} et l'air.",
        "L'angle limite est arcsin(1 / 1,{n}).",
    ),
    _course(
        2,
        "ANALYSE",
        None,
        "Intégration et développements limités",
        "Calculer l'intégrale de x exp(-{a} x) sur [0, {b}] par une intégration par parties.",
        "On trouve (1 - (1 + {a} x {b}) exp(-{a} x {b})) / {a}².",
        "Donner le développement limité à l'ordre 3, en 0, de sin({a} x) / (1 + {b} x), puis la "
        "tangente à sa courbe en 0.",
        "Le développement commence par {a} x - {a} x {b} x² ; la tangente a pour pente {a}.",
    ),
    _course(
        2,
        "ALGEBRE",
        None,
        "Espaces vectoriels et matrices",
        "Soit E l'espace des polynômes de degré au plus {n}. Montrer que les polynômes qui "
        "s'annulent en {a} forment un sous-espace de E et en donner la dimension.",
        "C'est le noyau d'une forme linéaire non nulle : sa dimension est {n}.",
        "Inverser la matrice de lignes (1, {a}) et (0, {b}) et résoudre le système associé pour le "
        "second membre (1, 1).",
        "L'inverse a pour lignes (1, -{a}/{b}) et (0, 1/{b}) ; y = 1/{b}, x = 1 - {a}/{b}.",
    ),
    _course(
        2,
        "THERMODYNAMIQUE",
        None,
        "Premier et second principes",
        "{a} moles d'un gaz parfait se détendent de façon isotherme et réversible à 300 K, leur "
        "volume étant multiplié par {b}. Calculer le travail et la chaleur échangés.",
        "Q = -W = {a} R x 300 x ln({b}) ; l'énergie interne ne varie pas.",
        "Une machine ditherme fonctionne entre 300 K et {n}00 K au-dessus de cette température. "
        "Établir son rendement maximal.",
        "Le rendement de Carnot est 1 - 300 / (300 + {n}00).",
    ),
    _course(
        2,
        "PROBABILITES",
        None,
        "Dénombrement et probabilités finies",
        "Une urne contient {a} boules blanches et {b} boules noires. On en tire deux sans remise. "
        "Calculer la probabilité qu'elles soient de couleurs différentes.",
        "2 x {a} x {b} / (({a} + {b}) ({a} + {b} - 1)).",
        "Un test détecte une maladie dans 9{n} % des cas et se trompe pour {a} % des personnes "
        "saines. Une personne sur cent est malade. Que vaut un résultat positif ?",
        "Formule de Bayes : 0,01 x 0,9{n} / (0,01 x 0,9{n} + 0,99 x 0,0{a}).",
    ),
    # --- Licence 2 ---------------------------------------------------------------------------
    _course(
        3,
        "ANALYSE",
        None,
        "Séries numériques et séries de fonctions",
        "Étudier la convergence simple, puis normale, de la série de terme général "
        "x^k / k^{a} sur [0, 1].",
        "La norme du terme général est 1/k^{a}, terme d'une série de Riemann convergente.",
        "Déterminer le rayon de convergence et la somme de la série entière de terme général "
        "(k + {a}) x^k.",
        "Le rayon est 1 ; la somme est x/(1-x)² + {a}/(1-x).",
    ),
    _course(
        3,
        "ALGEBRE",
        None,
        "Réduction des endomorphismes",
        "Diagonaliser la matrice de lignes ({a}, 1) et (0, {a}+1), puis calculer sa puissance "
        "k-ième.",
        "Les valeurs propres {a} et {a}+1 sont distinctes : la matrice est diagonalisable.",
        "Soit u un endomorphisme tel que u² = {b} u. Montrer que u est diagonalisable et préciser "
        "son noyau et son image.",
        "X(X - {b}) annule u, à racines simples ; l'espace est la somme de Ker u et Im u.",
    ),
    _course(
        3,
        "ELECTROMAGNETISME",
        "PHYS",
        "Électrostatique et magnétostatique",
        "Une boule de rayon {a} cm porte une charge de {b} nC répartie uniformément. Calculer le "
        "champ électrique en tout point par le théorème de Gauss.",
        "E croît comme r à l'intérieur, décroît comme 1/r² à l'extérieur, et est continu.",
        "Calculer le champ magnétique sur l'axe d'une spire de rayon {a} cm parcourue par un "
        "courant de {n} A.",
        "B = mu0 I R² / (2 (R² + z²)^(3/2)), avec R = {a} cm et I = {n} A.",
    ),
    _course(
        3,
        "MECANIQUE",
        "PHYS",
        "Mécanique du solide",
        "Calculer le moment d'inertie d'un cylindre plein de masse {a} kg et de rayon {b} cm par "
        "rapport à son axe.",
        "J = M R² / 2, avec M = {a} kg et R = 0,0{b} m.",
        "Un cylindre roule sans glisser sur un plan incliné de {n}0/2 degrés. Établir son "
        "accélération.",
        "L'accélération vaut (2/3) g sin(alpha), indépendamment de la masse.",
    ),
    _course(
        3,
        "STATISTIQUE",
        "STAT",
        "Statistique descriptive",
        "Une série de {n}0 notes a pour moyenne 1{a} et pour variance {b}. On ajoute une note "
        "égale à la moyenne. Que deviennent moyenne et variance ?",
        "La moyenne reste 1{a} ; la variance devient {b} x {n}0 / ({n}0 + 1).",
        "Établir les équations de la droite des moindres carrés et interpréter un coefficient de "
        "corrélation de 0,{a}.",
        "La pente est cov(x, y) / var(x) ; la part de variance expliquée est (0,{a})².",
    ),
    _course(
        4,
        "ANALYSE",
        None,
        "Calcul différentiel",
        "Déterminer les extrema de f(x, y) = x² + {a} y² - {b} x y + x sur le plan, en discutant "
        "la nature des points critiques.",
        "La hessienne est constante, de déterminant 4 x {a} - {b}² : son signe décide.",
        "Montrer que l'équation x + y + {a} sin(x y) = 0 définit y comme fonction de x au "
        "voisinage de l'origine et calculer y'(0).",
        "Le théorème des fonctions implicites s'applique ; y'(0) = -1.",
    ),
    _course(
        4,
        "EQUATIONS-DIFFERENTIELLES",
        None,
        "Équations différentielles ordinaires",
        "Résoudre y'' - {a}² y = exp({b} x), en distinguant les cas selon que {a} et {b} sont "
        "égaux ou non.",
        "La solution particulière est en exp({b} x), ou en x exp({b} x) en cas de résonance.",
        "Étudier la stabilité des équilibres du système x' = x ({a} - y), y' = y (x - {b}).",
        "L'origine est un point selle ; ({b}, {a}) est un centre pour le système linéarisé.",
    ),
    _course(
        4,
        "PROBABILITES",
        None,
        "Variables aléatoires discrètes et à densité",
        "Soit X de loi exponentielle de paramètre {a}. Calculer l'espérance, la variance et la loi "
        "de la partie entière de X.",
        "E(X) = 1/{a}, V(X) = 1/{a}² ; la partie entière suit une loi géométrique décalée.",
        "Deux variables de Poisson indépendantes ont pour paramètres {a} et {b}. Donner la loi de "
        "leur somme et la loi de la première sachant la somme.",
        "La somme suit une loi de Poisson({a} + {b}) ; la loi conditionnelle est binomiale.",
    ),
    _course(
        4,
        "ALGEBRE",
        "MATH",
        "Formes quadratiques et espaces euclidiens",
        "Réduire la forme quadratique q(x, y, z) = x² + {a} y² + {b} z² + 2 x y par la méthode de "
        "Gauss et donner sa signature.",
        "q = (x + y)² + ({a} - 1) y² + {b} z² : la signature est (3, 0).",
        "Orthonormaliser la famille 1, x, x² pour le produit scalaire intégral sur [0, {a}].",
        "Procédé de Gram-Schmidt : on retrouve, à un changement d'échelle près, les polynômes de "
        "Legendre.",
    ),
    _course(
        4,
        "ELECTROMAGNETISME",
        "PHYS",
        "Équations de Maxwell",
        "Établir l'équation de propagation du champ électrique dans le vide et décrire une onde "
        "plane de fréquence {a}00 MHz.",
        "Le laplacien de E égale E''/c² ; la longueur d'onde est 3/{a} mètre.",
        "Calculer la puissance moyenne transportée par une onde plane d'amplitude {a}0 V/m à "
        "travers une surface de {b} m².",
        "La moyenne du vecteur de Poynting est E² / (2 mu0 c), à multiplier par {b} m².",
    ),
    # --- Licence 3 ---------------------------------------------------------------------------
    _course(
        5,
        "TOPOLOGIE",
        "MATH",
        "Topologie des espaces métriques",
        "Montrer qu'une application contractante de rapport 1/{a} sur un espace complet admet un "
        "unique point fixe, et majorer l'erreur après {n} itérations.",
        "L'erreur est au plus (1/{a})^{n} d(x0, x1) / (1 - 1/{a}).",
        "Montrer que la boule unité fermée de l'espace des suites de puissance {a}-ième sommable "
        "n'est pas compacte.",
        "Les vecteurs de la base canonique restent à distance 2^(1/{a}) les uns des autres.",
    ),
    _course(
        5,
        "ANALYSE",
        None,
        "Mesure et intégration",
        "Déterminer la limite, quand k tend vers l'infini, de l'intégrale de exp(-{a} x) cos(x/k) "
        "sur [0, +infini[.",
        "La convergence dominée, par exp(-{a} x), donne la limite 1/{a}.",
        "Montrer que F(t) = intégrale de exp(-t x) / (1 + x^{n}) sur [0, +infini[ est dérivable "
        "pour t > 0.",
        "On domine la dérivée par x exp(-s x) sur [s, +infini[, pour tout s > 0.",
    ),
    _course(
        5,
        "ANALYSE-NUMERIQUE",
        None,
        "Analyse numérique matricielle",
        "Étudier la convergence de la méthode de Jacobi pour la matrice de lignes (1{a}, 1) et "
        "(1, 1{b}).",
        "La matrice est à diagonale strictement dominante : la méthode converge.",
        "Calculer la décomposition LU de la matrice de lignes (1, {a}) et ({b}, {a} x {b} + {n}).",
        "L a pour coefficient {b} sous la diagonale ; U a pour lignes (1, {a}) et (0, {n}).",
    ),
    _course(
        5,
        "MECANIQUE",
        "PHYS",
        "Mécanique analytique",
        "Écrire le lagrangien d'un pendule de longueur {a} m dont le point d'attache oscille "
        "horizontalement avec une amplitude de {b} cm.",
        "On exprime la vitesse de la masse dans le repère fixe, puis on écrit Lagrange.",
        "Un point de masse {a} kg est soumis à un potentiel central en r^{n}. Déterminer les "
        "quantités conservées et le hamiltonien.",
        "L'énergie et le moment cinétique se conservent ; H = p²/2m + L²/(2 m r²) + V(r).",
    ),
    _course(
        5,
        "MECANIQUE-QUANTIQUE",
        "PHYS",
        "Introduction à la mécanique quantique",
        "Une particule est enfermée dans un puits infini de largeur {a} nm. Calculer ses niveaux "
        "d'énergie et la longueur d'onde de la transition de {b} + 1 à {b}.",
        "E(k) = k² h² / (8 m L²) ; l'écart vaut (2 x {b} + 1) h² / (8 m L²).",
        "Montrer que le commutateur de x^{n} et p vaut i hbar {n} x^({n}-1).",
        "Récurrence sur l'exposant à partir de [x, p] = i hbar.",
    ),
    _course(
        5,
        "STATISTIQUE",
        "STAT",
        "Estimation et tests",
        "On observe {n}0 variables de loi uniforme sur [0, t]. Comparer l'estimateur du maximum de "
        "vraisemblance et celui des moments.",
        "Le maximum de l'échantillon, corrigé de son biais, a le plus petit risque quadratique.",
        "Une machine produit {a} pièces défectueuses sur {b}00. Construire un intervalle de "
        "confiance à 95 % de la proportion de défauts.",
        "p = {a}/{b}00 ; la demi-largeur est 1,96 racine(p (1 - p) / {b}00).",
    ),
    _course(
        6,
        "ANALYSE",
        None,
        "Fonctions d'une variable complexe",
        "Calculer, par les résidus, l'intégrale de 1 / (x² + {a}²) sur la droite réelle.",
        "Le seul pôle du demi-plan supérieur est i {a} ; l'intégrale vaut pi/{a}.",
        "Développer 1 / ((z - {a}) (z + {b})) en série de Laurent autour de {a}.",
        "On décompose en éléments simples, puis on développe 1/(z + {b}) au point {a}.",
    ),
    _course(
        6,
        "GEOMETRIE",
        "MATH",
        "Courbes et surfaces",
        "Calculer la courbure et la torsion de l'hélice ({a} cos t, {a} sin t, {b} t).",
        "Courbure {a} / ({a}² + {b}²), torsion {b} / ({a}² + {b}²).",
        "Déterminer la courbure de Gauss du paraboloïde z = (x² + y²) / {a} à l'origine.",
        "Les deux courbures principales valent 2/{a} : la courbure de Gauss est 4/{a}².",
    ),
    _course(
        6,
        "PROBABILITES",
        None,
        "Convergences et théorèmes limites",
        "On lance {n}00 fois une pièce qui tombe sur pile avec probabilité 1/{a}. Approcher la loi "
        "du nombre de piles et encadrer celui-ci à 95 %.",
        "Théorème central limite : moyenne {n}00/{a}, variance {n}00 ({a} - 1)/{a}².",
        "Soit X(k) uniforme sur [0, {b}/k]. Étudier les convergences en loi, en probabilité et "
        "dans L^{a}.",
        "La suite tend vers 0 aux trois sens, car 0 <= X(k) <= {b}/k.",
    ),
    _course(
        6,
        "THERMODYNAMIQUE",
        "PHYS",
        "Transferts thermiques et changements d'état",
        "Un mur de {a}0 cm d'épaisseur sépare une salle à {b} degrés de l'extérieur à 3{n} degrés. "
        "Établir le profil de température et le flux en régime permanent.",
        "Le profil est affine ; le flux est lambda x (écart de température) / 0,{a} par m².",
        "Établir la formule de Clapeyron et estimer la variation de la température d'ébullition "
        "de l'eau pour {n} hPa.",
        "dP/dT = L / (T (vg - vl)) ; pour un gaz parfait, dT = R T² dP / (L P).",
    ),
    _course(
        6,
        "OPTIQUE",
        "PHYS",
        "Optique ondulatoire",
        "Deux fentes distantes de 0,{a} mm sont éclairées à 600 nm. Calculer l'interfrange sur un "
        "écran placé à {b} m.",
        "i = lambda D / d = 600e-9 x {b} / 0,{a}e-3 mètre.",
        "Un réseau de {n}00 traits par millimètre reçoit une lumière blanche en incidence normale. "
        "Déterminer les ordres visibles.",
        "sin(theta) = k lambda N doit rester inférieur à 1, avec N = {n}e5 traits par mètre.",
    ),
    # --- Master 1 ----------------------------------------------------------------------------
    _course(
        7,
        "ANALYSE",
        None,
        "Analyse fonctionnelle",
        "Calculer la norme de l'opérateur de multiplication par {a} x + {b} sur les fonctions de "
        "carré intégrable de [0, 1], et déterminer son spectre.",
        "La norme est {a} + {b} ; le spectre est [{b}, {a} + {b}], sans valeur propre.",
        "Énoncer le théorème de Lax-Milgram et l'appliquer à -u'' + {a} u = f sur [0, 1] avec "
        "conditions de Dirichlet.",
        "La forme bilinéaire, intégrale de u'v' + {a} u v, est continue et coercive.",
    ),
    _course(
        7,
        "ALGEBRE",
        "MATH",
        "Théorie de Galois",
        "Déterminer le groupe de Galois de X² - {a} X - 1 sur le corps des rationnels.",
        "Le discriminant {a}² + 4 n'est pas un carré : le groupe est d'ordre 2.",
        "Montrer que le corps à 2^{n} éléments est galoisien sur le corps à deux éléments et "
        "décrire ses sous-corps.",
        "Le groupe est cyclique d'ordre {n}, engendré par Frobenius ; un sous-corps par diviseur.",
    ),
    _course(
        7,
        "PROBABILITES",
        "STAT",
        "Chaînes de Markov",
        "Une chaîne à deux états passe de 0 à 1 avec probabilité 1/{a} et de 1 à 0 avec "
        "probabilité 1/{b}. Calculer sa loi stationnaire.",
        "Elle est proportionnelle à ({a}, {b}) : pi(0) = {a}/({a} + {b}).",
        "Un joueur part de {a} francs et joue à pile ou face équitable jusqu'à 0 ou {a} + {b}. "
        "Calculer sa probabilité de ruine et la durée moyenne de la partie.",
        "La ruine a pour probabilité {b}/({a} + {b}) ; la durée moyenne est {a} x {b}.",
    ),
    _course(
        7,
        "STATISTIQUE",
        "STAT",
        "Modèle linéaire",
        "Un modèle à {a} variables explicatives est ajusté sur {b}0 observations. Donner la loi de "
        "l'estimateur des moindres carrés et estimer la variance.",
        "L'estimateur est gaussien ; on divise la somme des carrés par {b}0 - {a} - 1.",
        "Tester la nullité simultanée de deux coefficients au seuil de {n} %.",
        "La statistique de Fisher compare les sommes de carrés des deux modèles emboîtés.",
    ),
    _course(
        7,
        "MECANIQUE-QUANTIQUE",
        "PHYS",
        "Moment cinétique et perturbations",
        "Construire les états propres de la somme d'un spin 1/2 et d'un moment cinétique {n}.",
        "J vaut {n} + 1/2 ou {n} - 1/2 ; le nombre d'états est 2 (2 x {n} + 1).",
        "Un oscillateur de pulsation {a} x 10^14 rad/s subit la perturbation lambda x^4. "
        "Calculer la correction d'énergie du fondamental au premier ordre.",
        "La valeur moyenne de x^4 dans le fondamental est 3 (hbar / (2 m omega))².",
    ),
    _course(
        7,
        "PHYSIQUE-STATISTIQUE",
        "PHYS",
        "Ensembles statistiques",
        "Calculer la fonction de partition de {n} spins 1/2 indépendants dans un champ de {a} T, "
        "puis leur aimantation moyenne.",
        "Z = (2 ch(mu B / kT))^{n} ; l'aimantation vaut {n} mu th(mu B / kT).",
        "Un gaz de bosons est confiné dans un volume de {a} litres. Établir la température de "
        "condensation en fonction de la densité.",
        "On sature l'intégrale de Bose : n lambda³ = zeta(3/2).",
    ),
    _course(
        8,
        "TOPOLOGIE",
        "MATH",
        "Topologie algébrique",
        "Calculer le groupe fondamental d'un bouquet de {n} cercles.",
        "Le théorème de van Kampen donne le groupe libre à {n} générateurs.",
        "Montrer que le cercle à la puissance {a} et la sphère de dimension {a} ne sont pas "
        "homéomorphes.",
        "Le groupe fondamental du tore est Z^{a} ; celui de la sphère est trivial.",
    ),
    _course(
        8,
        "GEOMETRIE",
        "MATH",
        "Géométrie différentielle",
        "Montrer que x² + y² - {a} z² = {b} définit une sous-variété de l'espace et déterminer son "
        "plan tangent en un point.",
        "La différentielle (2x, 2y, -2 x {a} z) ne s'annule pas sur la surface.",
        "Calculer le crochet des champs x^{n} d/dx et x d/dx sur la droite.",
        "Le crochet vaut (1 - {n}) x^{n} d/dx.",
    ),
    _course(
        8,
        "PROBABILITES",
        "STAT",
        "Martingales et temps d'arrêt",
        "Soit S une marche aléatoire simple. Montrer que S² - k est une martingale et en déduire "
        "le temps moyen de sortie de ]-{a}, {b}[.",
        "Le théorème d'arrêt donne E(T) = E(S(T)²) = {a} x {b}.",
        "Une urne contient {a} boules rouges et {b} vertes ; chaque boule tirée est remise avec "
        "une autre de sa couleur. Étudier la proportion de rouges.",
        "C'est une martingale bornée : elle converge, vers une loi bêta({a}, {b}).",
    ),
    _course(
        8,
        "STATISTIQUE",
        "STAT",
        "Séries temporelles",
        "Étudier la stationnarité du processus X(t) = X(t-1)/{a} + e(t) et calculer son "
        "autocorrélation.",
        "La racine {a} est hors du disque unité ; l'autocorrélation d'ordre h est (1/{a})^h.",
        "Donner la prévision à {n} pas d'un processus moyenne mobile d'ordre 1 et sa variance.",
        "Au-delà d'un pas, la meilleure prévision est la moyenne.",
    ),
    _course(
        8,
        "ELECTROMAGNETISME",
        "PHYS",
        "Électrodynamique et relativité",
        "Un muon de durée de vie 2,2 µs se déplace à 0,9{n} c. Calculer la distance parcourue dans "
        "le repère du laboratoire.",
        "Le facteur de Lorentz est 1 / racine(1 - 0,9{n}²) ; d = gamma v tau.",
        "Établir la transformation des champs lors d'un changement de référentiel de vitesse "
        "0,{a} c et vérifier l'invariance de E² - c² B².",
        "On transforme le tenseur F ; E² - c² B² est proportionnel à sa contraction.",
    ),
    _course(
        8,
        "ANALYSE-NUMERIQUE",
        None,
        "Méthodes numériques pour les équations aux dérivées partielles",
        "Étudier la stabilité du schéma explicite pour l'équation de la chaleur de diffusivité "
        "{a}, avec un pas d'espace de 0,0{b}.",
        "Le pas de temps doit vérifier dt <= dx² / (2 x {a}).",
        "Écrire la formulation variationnelle de -u'' + {a} u = {b} et la matrice des éléments "
        "finis P1 sur {n} mailles.",
        "La matrice est tridiagonale, symétrique, définie positive.",
    ),
)

PRENOMS = (
    *("Abla", "Adjoa", "Afi", "Aïcha", "Aimé", "Akossiwa", "Alain", "Amina", "Ange", "Armel"),
    *("Bio", "Brice", "Céline", "Chantal", "Codjo", "Cyrille", "Dossa", "Edwige", "Estelle"),
    *("Fatima", "Fidèle", "Florent", "Gildas", "Grâce", "Hervé", "Ibrahim", "Inès", "Judicaël"),
    *("Kossi", "Léa", "Marius", "Mireille", "Nadège", "Orou", "Pélagie", "Rodrigue", "Sènan"),
    *("Sylvie", "Thierry", "Ulrich", "Viviane", "Yao", "Yasmine", "Zénabou"),
)
NOMS = (
    *("Adande", "Adjovi", "Agbossou", "Ahouansou", "Akplogan", "Assogba", "Azonhiho", "Bello"),
    *("Biaou", "Bonou", "Chabi", "Dagba", "Dansou", "Djossou", "Dossou", "Fagbohoun", "Fassinou"),
    *("Gbaguidi", "Gnonlonfoun", "Hounkpatin", "Hounsou", "Idrissou", "Kakpo", "Kiki", "Kora"),
    *(
        "Lokossou",
        "Mensah",
        "Moussa",
        "Ogoubiyi",
        "Padonou",
        "Quenum",
        "Sagbo",
        "Sossa",
        "Tchibozo",
    ),
    *("Tossou", "Vodounou", "Yessoufou", "Zannou", "Zinsou"),
)

# By note_pertinence: what a student of that opinion writes.
COMMENTAIRES = {
    1: (
        "Trop loin du programme traité cette année.",
        "Je n'ai pas trouvé ce que je cherchais.",
    ),
    2: (
        "Énoncé peu clair, je le déconseille pour réviser.",
        "Intéressant, mais hors du programme de l'examen.",
    ),
    3: (
        "Correct pour s'entraîner, sans plus.",
        "Le premier exercice est utile, le second moins.",
    ),
    4: (
        "Bonne épreuve, bien équilibrée.",
        "Très utile pour préparer le partiel.",
        "Un corrigé plus détaillé serait parfait.",
    ),
    5: (
        "Très bonne épreuve !",
        "Exactement le niveau de l'examen, à faire absolument.",
        "Merci pour ce sujet, il résume tout le cours.",
    ),
}
